//! Meters of many: users, rooms, addresses. Bounded, whoever comes.
//!
//! An entry stands under a hash of its key, 64 bits with a secret of the process: nobody can choose to share another's
//! meter, and a key of any length costs the same. What is idle is as good as not there: it makes room for others where
//! there is none, and is taken out by [`Keyed::sweep`] now and then; the memory goes back with it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
};

use parking_lot::Mutex;

use super::meter::{Meter, Nanos};

/// Keys that have meters of their own at once. Those that come while none of them is idle share one.
pub(super) const MAX_KEYS: usize = 65_536;
const SHARDS: usize = 16;
const MAX_IN_SHARD: usize = MAX_KEYS / SHARDS;
/// Keys that come to a full shard between two looks for what is idle in it: a look goes through all of it, so each of them
/// pays for 64 entries, whatever is found.
const LOOK_EVERY: usize = MAX_IN_SHARD / 64;

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
    shards: [Mutex<Shard<T>>; SHARDS],
    shared: Mutex<T>,
}

struct Shard<T> {
    entries: HashMap<u64, T, BuildHasherDefault<Hashed>>,
    /// Keys that found no place since the last look for one.
    without_place: usize,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            without_place: 0,
        }
    }
}

impl<T: Idle> Shard<T> {
    fn entry(&mut self, hash: u64, now: Nanos) -> Option<&mut T> {
        if !self.entries.contains_key(&hash) && !self.has_place(now) {
            return None;
        }
        Some(self.entries.entry(hash).or_default())
    }

    /// Whether there is a place for one more, if need be of one that is idle.
    fn has_place(&mut self, now: Nanos) -> bool {
        if self.entries.len() < MAX_IN_SHARD {
            return true;
        }
        if self.without_place == 0 {
            self.drop_idle(now);
        }
        let has_place = self.entries.len() < MAX_IN_SHARD;
        self.without_place = if has_place {
            0
        } else {
            (self.without_place + 1) % LOOK_EVERY
        };
        has_place
    }

    fn drop_idle(&mut self, now: Nanos) {
        self.entries.retain(|_, entry| !entry.is_idle(now));
    }
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
    pub(super) fn with<R>(&self, key: &(impl Hash + ?Sized), now: Nanos, act: impl FnOnce(&mut T) -> R) -> R {
        let hash = self.secret.hash_one(key);
        if let Some(entry) = self.shard(hash).lock().entry(hash, now) {
            return act(entry);
        }
        act(&mut self.shared.lock())
    }

    /// Takes out what is idle.
    pub(super) fn sweep(&self, now: Nanos) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.drop_idle(now);
            if shard.entries.capacity() > 64 && shard.entries.capacity() > 4 * shard.entries.len() {
                shard.entries.shrink_to_fit();
            }
        }
    }

    /// By the lower bits: the map goes by the upper ones.
    fn shard(&self, hash: u64) -> &Mutex<Shard<T>> {
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<T>(keyed: &Keyed<T>) -> (usize, usize) {
        let shards = keyed.shards.iter().map(|shard| {
            let shard = shard.lock();
            (shard.entries.len(), shard.entries.capacity())
        });
        shards.fold((0, 0), |(len, capacity), (more, room)| {
            (len + more, capacity + room)
        })
    }

    #[test]
    fn each_key_has_its_own_until_it_is_idle() {
        let keyed = Keyed::<Meter>::default();
        let take = |key: &str, now| keyed.with(key, now, |meter| meter.take(now, 1));
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
            refused += usize::from(!keyed.with(&key, 0, |meter| meter.take(0, 1)));
        }
        assert!(keys(&keyed).0 <= MAX_KEYS);
        assert!(
            refused >= 2 * MAX_KEYS,
            "whoever comes beyond shares one meter: {refused}"
        );
        keyed.sweep(u64::MAX);
        assert_eq!(keys(&keyed), (0, 0));
    }

    #[test]
    fn what_is_idle_makes_room_for_who_comes() {
        let keyed = Keyed::<Meter>::default();
        for key in 0..4 * MAX_KEYS as u64 {
            // 20,000 new keys a second, each of which is idle after 20 ms.
            let now = key * 50_000;
            let taken = keyed.with(&key, now, |meter| meter.take(now, 50));
            assert!(taken, "{key} has no meter of its own");
        }
        assert!(keys(&keyed).0 <= MAX_KEYS);
    }

    /// As [`Meter`]; counts how often somebody looks at one.
    #[derive(Default)]
    struct Looked(bool);

    thread_local! {
        static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    impl Idle for Looked {
        fn is_idle(&self, _now: Nanos) -> bool {
            LOOKS.set(LOOKS.get() + 1);
            !self.0
        }
    }

    #[test]
    fn a_flood_that_finds_nothing_idle_looks_at_a_bounded_number() {
        let keyed = Keyed::<Looked>::default();
        let count = 4 * MAX_KEYS;
        for key in 0..count {
            keyed.with(&key, 0, |entry| entry.0 = true);
        }
        assert!(keys(&keyed).0 == MAX_KEYS, "all in use");
        let most = count * MAX_IN_SHARD / LOOK_EVERY;
        assert!((1..=most).contains(&LOOKS.get()), "{}", LOOKS.get());
    }
}
