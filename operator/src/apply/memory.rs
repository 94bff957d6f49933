//! What was applied, and what the object looked like then.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use kube::{ResourceExt, api::DynamicObject};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::failures::{Failures, owner};
use crate::{build::Object, error::Error, kinds::Kind};

/// Kind, namespace and name.
pub(super) type Key = (Kind, String, String);

/// Remembers the last apply of every object. It starts empty: a new operator applies everything once.
#[derive(Default)]
pub struct Memory {
    applied: Mutex<HashMap<Key, Entry>>,
    failures: Mutex<Failures>,
}

#[derive(PartialEq, Eq)]
struct Entry {
    /// The cluster's uid.
    owner: String,
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
        let key = key(kind, found);
        self.failures.lock().forget(&key);
        self.applied.lock().insert(key, entry(found, wanted));
    }

    /// Remembers that an apply failed.
    pub(super) fn failed(&self, object: &Object, error: &Error, now: Instant) {
        let (key, value) = (key(object.kind, &object.value), &object.value);
        self.failures.lock().add(key, (hash_of(value), value), error, now);
    }

    /// How the apply of this object failed before, while it is too early to try it again.
    pub(super) fn resting(&self, object: &Object, now: Instant) -> Option<Error> {
        let (key, wanted) = (key(object.kind, &object.value), hash_of(&object.value));
        self.failures.lock().resting(&key, wanted, now)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, kind: Kind, object: &DynamicObject) {
        let key = key(kind, object);
        self.failures.lock().forget(&key);
        self.applied.lock().remove(&key);
    }

    /// Forgets every object of the cluster with this uid, which is gone.
    pub fn forget_owner(&self, uid: &str) {
        self.failures.lock().forget_owner(uid);
        self.applied.lock().retain(|_, entry| entry.owner != uid);
    }
}

fn key(kind: Kind, object: &DynamicObject) -> Key {
    (kind, object.namespace().unwrap_or_default(), object.name_any())
}

fn entry(found: &DynamicObject, wanted: &DynamicObject) -> Entry {
    Entry {
        owner: owner(wanted),
        wanted: hash_of(wanted),
        found: hash(|hasher| fingerprint(found, hasher)),
    }
}

fn hash_of(wanted: &DynamicObject) -> u64 {
    hash(|hasher| serde_json::to_string(wanted).unwrap_or_default().hash(hasher))
}

/// What changes whenever somebody changes more than the status. Kinds with a generation count changes of their spec; of the
/// others every change counts. Only a Service has a status among them: a new address of its load balancer costs one apply.
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

    #[test]
    fn a_cluster_that_is_gone_is_forgotten_whole() {
        let memory = Memory::default();
        let of = |uid: &str, name: &str| {
            object(|object| {
                object.metadata.name = Some(name.to_owned());
                let owner = serde_json::json!([{"apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster", "name": "c", "uid": uid}]);
                object.metadata.owner_references = serde_json::from_value(owner).unwrap();
            })
        };
        let (gone, there) = (of("1", "gone"), of("2", "there"));
        memory.remember(Kind::Deployment, &gone, &gone);
        memory.remember(Kind::Deployment, &there, &there);
        memory.forget_owner("1");
        assert!(!memory.holds(Kind::Deployment, &gone, &gone));
        assert!(memory.holds(Kind::Deployment, &there, &there));
    }
}
