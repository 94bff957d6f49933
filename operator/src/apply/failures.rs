//! Applies that failed, and when each is tried again.

use std::{collections::HashMap, time::Duration};

use kube::{ResourceExt, api::DynamicObject};
use tokio::time::Instant;

use super::memory::Key;
use crate::error::{Category, Error};

const FIRST: Duration = Duration::from_secs(1);
/// A person who mends the cause does not wait for long; a webhook that hangs is asked seldom enough.
const LONGEST: Duration = Duration::from_secs(30);

/// By object.
#[derive(Default)]
pub(super) struct Failures(HashMap<Key, Failure>);

struct Failure {
    /// The cluster's uid.
    owner: String,
    /// What should have been.
    wanted: u64,
    count: u32,
    again: Instant,
    text: String,
    category: Category,
    transient: bool,
}

impl Failures {
    /// The failure of before, while it is too early to try the same again.
    pub(super) fn resting(&self, key: &Key, wanted: u64, now: Instant) -> Option<Error> {
        let failure = self.0.get(key)?;
        (failure.wanted == wanted && now < failure.again).then(|| Error::Resting {
            text: failure.text.clone(),
            category: failure.category,
            transient: failure.transient,
        })
    }

    /// Remembers a failure.
    pub(super) fn add(&mut self, key: Key, wanted: (u64, &DynamicObject), error: &Error, now: Instant) {
        let (wanted, object) = wanted;
        let before = self.0.get(&key).filter(|failure| failure.wanted == wanted);
        let count = before.map_or(0, |failure| failure.count.saturating_add(1));
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(count)).min(LONGEST);
        let failure = Failure {
            owner: owner(object),
            wanted,
            count,
            again: now + wait.mul_f64(0.75 + 0.25 * fastrand::f64()),
            text: error.to_string(),
            category: error.category(),
            transient: error.is_transient(),
        };
        self.0.insert(key, failure);
    }

    /// It was applied, or is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// The cluster is gone.
    pub(super) fn forget_owner(&mut self, uid: &str) {
        self.0.retain(|_, failure| failure.owner != uid);
    }
}

/// The uid of the cluster that an object is built for.
pub(super) fn owner(object: &DynamicObject) -> String {
    let mut owners = object.owner_references().iter();
    owners.next().map(|owner| owner.uid.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    #[test]
    fn an_object_rests_longer_each_time_and_not_when_it_is_another() {
        let key: Key = (Kind::Ingress, "default".to_owned(), "chat".to_owned());
        let object = DynamicObject::new("chat", &Kind::Ingress.api_resource());
        let error = || Error::NotOurs {
            kind: "Ingress",
            name: "chat".to_owned(),
        };
        let start = Instant::now();
        let mut failures = Failures::default();
        assert!(failures.resting(&key, 1, start).is_none());
        failures.add(key.clone(), (1, &object), &error(), start);
        let resting = failures.resting(&key, 1, start).unwrap();
        assert_eq!(
            (resting.category(), resting.to_string()),
            (error().category(), error().to_string())
        );
        assert!(
            failures.resting(&key, 2, start).is_none(),
            "another spec is tried at once"
        );
        assert!(failures.resting(&key, 1, start + FIRST).is_none());
        for _ in 0..12 {
            failures.add(key.clone(), (1, &object), &error(), start);
        }
        assert!(failures.resting(&key, 1, start + LONGEST / 2).is_some());
        assert!(failures.resting(&key, 1, start + LONGEST).is_none());
        failures.forget(&key);
        assert!(failures.resting(&key, 1, start).is_none());
    }
}
