//! What the keys that this gateway stored under stood for.
//!
//! The stream answers a repeat with the sequence of the first message, and the bodies are compared. A busy room forgets
//! that message long before its key: then the hash that is kept here tells another body from a repeat. Only so many keys
//! are kept, the newest, and only those of this process.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

use parking_lot::Mutex;

/// Keys that are remembered, at some 150 bytes each.
const MAX_KEYS: usize = 65_536;

#[derive(Default)]
pub(super) struct Bodies {
    /// Under a secret of this process, so that nobody can make two bodies that look the same.
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By message id: hash of the body, and the number of the entry in `order` that counts.
    bodies: HashMap<Box<str>, (u64, u64)>,
    /// Oldest first.
    order: VecDeque<Box<str>>,
    /// Number of the entry at the front.
    first: u64,
}

impl Bodies {
    /// The stream has the message with this id, and this body was its.
    pub(super) fn insert(&self, id: String, body: &[u8]) {
        self.known
            .lock()
            .insert(id.into(), self.hasher.hash_one(body), MAX_KEYS);
    }

    /// Whether the message with this id had this body; `None` when that is not known.
    pub(super) fn is_same(&self, id: &str, body: &[u8]) -> Option<bool> {
        let known = self.known.lock();
        let (hash, _) = known.bodies.get(id)?;
        Some(*hash == self.hasher.hash_one(body))
    }
}

impl Known {
    fn insert(&mut self, id: Box<str>, hash: u64, most: usize) {
        let number = self.first + self.order.len() as u64;
        self.bodies.insert(id.clone(), (hash, number));
        self.order.push_back(id);
        while self.order.len() > most {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            // A later entry of the same id counts instead.
            if self
                .bodies
                .get(&oldest)
                .is_some_and(|(_, number)| *number == self.first)
            {
                self.bodies.remove(&oldest);
            }
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let mut known = Known::default();
        for (id, hash) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
            known.insert(id.into(), hash, 3);
        }
        let hash = |id| known.bodies.get(id).map(|(hash, _)| *hash);
        assert_eq!([hash("a"), hash("b"), hash("c")], [Some(3), Some(2), Some(4)]);
        known.insert("d".into(), 5, 3);
        assert_eq!(known.bodies.len(), 3);
        assert!(!known.bodies.contains_key("b"));
    }

    #[test]
    fn another_body_is_told_from_a_repeat() {
        let bodies = Bodies::default();
        bodies.insert("id".to_owned(), b"one");
        assert_eq!(bodies.is_same("id", b"one"), Some(true));
        assert_eq!(bodies.is_same("id", b"two"), Some(false));
        assert_eq!(bodies.is_same("other", b"one"), None);
    }
}
