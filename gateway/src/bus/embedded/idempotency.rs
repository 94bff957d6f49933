//! The idempotency keys of one room, each for the window after its publication was stored.
//!
//! A key costs about 100 bytes however long it is: of the key a digest is kept, in which nobody finds a second key to a
//! given one; of the body a 64-bit hash, under a secret of this set, so that nobody can make two bodies that look the
//! same.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasher,
    time::Duration,
};

use sha1::{Digest as _, Sha1};
use tokio::time::Instant;

use crate::{bus::BusError, history::StoreError};

/// Keys that a room remembers at once: 3,500 keyed publications a second in a window of 300 s. More are refused, for a
/// key that was forgotten early would let a repeat through.
const MAX_KEYS: usize = 1 << 20;

/// The beginning of a key's SHA-1.
type Digest = [u8; 16];

#[derive(Default)]
pub(super) struct Keys {
    seen: HashMap<Digest, Seen>,
    /// The same keys, oldest first.
    order: VecDeque<(Instant, Digest)>,
    /// For how long a key is remembered, as the last keyed store said.
    window: Duration,
}

struct Seen {
    offset: u64,
    body: u64,
}

fn digest(key: &str) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha1::digest(key)[..16]);
    digest
}

impl Keys {
    /// The offset that a publication with this key got within the window, if there is one.
    pub(super) fn find(
        &mut self,
        key: &str,
        body: &[u8],
        window: Duration,
        now: Instant,
    ) -> Result<Option<u64>, StoreError> {
        self.window = window;
        self.expire(now);
        match self.seen.get(&digest(key)) {
            Some(seen) if seen.body == self.hash(body) => Ok(Some(seen.offset)),
            Some(_) => Err(StoreError::KeyReused),
            None if self.seen.len() >= MAX_KEYS => Err(BusError::Overloaded.into()),
            None => Ok(None),
        }
    }

    /// Remembers a key that [`Keys::find`] did not find.
    pub(super) fn insert(&mut self, key: &str, body: &[u8], offset: u64, now: Instant) {
        let key = digest(key);
        let body = self.hash(body);
        self.order.push_back((now, key));
        self.seen.insert(key, Seen { offset, body });
    }

    fn hash(&self, body: &[u8]) -> u64 {
        self.seen.hasher().hash_one(body)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((stored, key)) = self.order.front()
            && now.duration_since(*stored) >= self.window
        {
            self.seen.remove(key);
            self.order.pop_front();
        }
    }

    /// Gives back what a burst left over.
    pub(super) fn shrink(&mut self) {
        self.seen.shrink_to(self.seen.len() * 2);
        self.order.shrink_to(self.order.len() * 2);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// For how long after `now` the newest key is remembered; `None` without keys.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let (stored, _) = self.order.back()?;
        Some(self.window.saturating_sub(now.duration_since(*stored)))
    }
}
