//! What was applied, and what the object looked like then.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use kube::{ResourceExt, api::DynamicObject};
use parking_lot::Mutex;

use crate::kinds::Kind;

type Key = (Kind, String, String);

/// Remembers the last apply of every object. It starts empty: a new operator applies everything once.
#[derive(Default)]
pub struct Memory {
    applied: Mutex<HashMap<Key, Entry>>,
}

#[derive(PartialEq, Eq)]
struct Entry {
    wanted: u64,
    found: u64,
}

impl Memory {
    /// Whether `found` is what it was after `wanted` was applied to it.
    pub fn holds(&self, kind: Kind, found: &DynamicObject, wanted: &DynamicObject) -> bool {
        self.applied.lock().get(&key(kind, found)) == Some(&entry(found, wanted))
    }

    /// Remembers the answer to an apply.
    pub fn remember(&self, kind: Kind, found: &DynamicObject, wanted: &DynamicObject) {
        self.applied.lock().insert(key(kind, found), entry(found, wanted));
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, kind: Kind, object: &DynamicObject) {
        self.applied.lock().remove(&key(kind, object));
    }
}

fn key(kind: Kind, object: &DynamicObject) -> Key {
    (kind, object.namespace().unwrap_or_default(), object.name_any())
}

fn entry(found: &DynamicObject, wanted: &DynamicObject) -> Entry {
    Entry {
        wanted: hash(|hasher| serde_json::to_string(wanted).unwrap_or_default().hash(hasher)),
        found: hash(|hasher| fingerprint(found, hasher)),
    }
}

/// What changes whenever somebody changes more than the status. Kinds with a generation count changes of their spec; the
/// others have no status, so that every change is one.
fn fingerprint(object: &DynamicObject, hasher: &mut DefaultHasher) {
    let metadata = &object.metadata;
    metadata.uid.hash(hasher);
    match metadata.generation {
        None => metadata.resource_version.hash(hasher),
        Some(generation) => {
            generation.hash(hasher);
            object.labels().hash(hasher);
            object.annotations().hash(hasher);
            for owner in object.owner_references() {
                (&owner.uid, owner.controller).hash(hasher);
            }
        }
    }
}

fn hash(feed: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(change: impl FnOnce(&mut DynamicObject)) -> DynamicObject {
        let mut object = DynamicObject::new("chat", &Kind::Deployment.api_resource()).within("default");
        object.metadata.generation = Some(1);
        object.metadata.resource_version = Some("1".to_owned());
        object.data = serde_json::json!({"spec": {"replicas": 2}});
        change(&mut object);
        object
    }

    #[test]
    fn only_a_change_that_matters_is_applied_again() {
        let memory = Memory::default();
        let wanted = object(|_| {});
        assert!(!memory.holds(Kind::Deployment, &wanted, &wanted));
        memory.remember(Kind::Deployment, &wanted, &wanted);
        let status = object(|object| object.metadata.resource_version = Some("2".to_owned()));
        assert!(
            memory.holds(Kind::Deployment, &status, &wanted),
            "a new status is no change"
        );
        let edited = object(|object| object.metadata.generation = Some(2));
        assert!(!memory.holds(Kind::Deployment, &edited, &wanted));
        let labelled = object(|object| {
            object.labels_mut().insert("a".to_owned(), "b".to_owned());
        });
        assert!(!memory.holds(Kind::Deployment, &labelled, &wanted));
        let other = object(|object| object.data["spec"]["replicas"] = 3.into());
        assert!(!memory.holds(Kind::Deployment, &wanted, &other));
        memory.forget(Kind::Deployment, &wanted);
        assert!(!memory.holds(Kind::Deployment, &wanted, &wanted));
    }
}
