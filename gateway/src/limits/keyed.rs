//! Meters of many: users, rooms, addresses. Bounded, whoever comes.
//!
//! An entry stands under a hash of its key, 64 bits with a secret of the process: nobody can choose to share another's
//! meter, and a key of any length costs the same. What is idle is as good as not there and is taken out by
//! [`Keyed::sweep`]; the memory goes back with it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
};

use parking_lot::Mutex;

use super::meter::{Meter, Nanos};

/// Keys that have meters of their own at once. Those that come beyond share one until the others are idle.
pub(super) const MAX_KEYS: usize = 65_536;
const SHARDS: usize = 16;

/// What can be forgotten once nothing of it matters any more.
pub(super) trait Idle: Default {
    fn is_idle(&self, now: Nanos) -> bool;
}

impl Idle for Meter {
    fn is_idle(&self, now: Nanos) -> bool {
        Self::is_idle(*self, now)
    }
}

/// The meters of one kind of keys, for all threads.
pub(super) struct Keyed<T> {
    secret: RandomState,
    shards: [Mutex<HashMap<u64, T, BuildHasherDefault<Hashed>>>; SHARDS],
    shared: Mutex<T>,
}

/// The key is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<T: Idle> Default for Keyed<T> {
    fn default() -> Self {
        Self {
            secret: RandomState::new(),
            shards: Default::default(),
            shared: Mutex::default(),
        }
    }
}

impl<T: Idle> Keyed<T> {
    /// Does something with what belongs to `key`.
    pub(super) fn with<R>(&self, key: &(impl Hash + ?Sized), act: impl FnOnce(&mut T) -> R) -> R {
        let hash = self.secret.hash_one(key);
        let mut shard = self.shard(hash).lock();
        if shard.len() < MAX_KEYS / SHARDS || shard.contains_key(&hash) {
            return act(shard.entry(hash).or_default());
        }
        drop(shard);
        act(&mut self.shared.lock())
    }

    /// Takes out what is idle.
    pub(super) fn sweep(&self, now: Nanos) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|_, entry| !entry.is_idle(now));
            if shard.capacity() > 64 && shard.capacity() > 4 * shard.len() {
                shard.shrink_to_fit();
            }
        }
    }

    /// By the lower bits: the map goes by the upper ones.
    fn shard(&self, hash: u64) -> &Mutex<HashMap<u64, T, BuildHasherDefault<Hashed>>> {
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<T>(keyed: &Keyed<T>) -> (usize, usize) {
        let shards = keyed.shards.iter().map(|shard| {
            let shard = shard.lock();
            (shard.len(), shard.capacity())
        });
        shards.fold((0, 0), |(len, capacity), (more, room)| {
            (len + more, capacity + room)
        })
    }

    #[test]
    fn each_key_has_its_own_until_it_is_idle() {
        let keyed = Keyed::<Meter>::default();
        let take = |key: &str, now| keyed.with(key, |meter| meter.take(now, 1));
        assert!(take("a", 0) && take("a", 0) && !take("a", 0));
        assert!(take("b", 0));
        keyed.sweep(1_500_000_000);
        assert_eq!(keys(&keyed).0, 1, "b has recovered");
        keyed.sweep(2_000_000_000);
        assert_eq!(keys(&keyed).0, 0);
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_gives_its_memory_back() {
        let keyed = Keyed::<Meter>::default();
        let mut refused = 0;
        for key in 0..4 * MAX_KEYS {
            refused += usize::from(!keyed.with(&key, |meter| meter.take(0, 1)));
        }
        assert!(keys(&keyed).0 <= MAX_KEYS);
        assert!(
            refused >= 2 * MAX_KEYS,
            "whoever comes beyond shares one meter: {refused}"
        );
        keyed.sweep(u64::MAX);
        assert_eq!(keys(&keyed), (0, 0));
    }
}
