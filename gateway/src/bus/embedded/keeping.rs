//! What is kept for every gateway, where there is one: as long as the process lives.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    bus::{Changes, Keep, Kept, Mark, Stamp},
    clock::since_epoch,
};

/// Changes between two looks for what has ended.
const SWEEP: u64 = 1_024;

pub(super) struct Keeping {
    epoch: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sequence: u64,
    /// Of the last change, Unix nanoseconds.
    time: u64,
    /// By number, with the time of the end.
    kept: BTreeMap<u64, (Kept, Instant)>,
    numbers: HashMap<String, u64>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            epoch: Uuid::new_v4().to_string().into(),
            state: Mutex::default(),
        }
    }
}

impl Keeping {
    pub(super) fn keep(&self, keep: Keep) -> Mark {
        Mark {
            epoch: self.epoch.clone(),
            sequence: self.number(keep),
            proofs: Vec::new(),
        }
    }

    fn number(&self, keep: Keep) -> u64 {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        let former = state.numbers.get(&keep.key).copied().filter(|former| {
            let kept = state.kept.get(former);
            kept.is_some_and(|(_, end)| *end > now)
        });
        if keep.only_after.is_some_and(|only| only != former.unwrap_or(0)) {
            return 0;
        }
        state.sequence += 1;
        // No two changes are of the same time.
        let clock = u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX);
        state.time = clock.max(state.time + 1);
        let sequence = state.sequence;
        if let Some(former) = state.numbers.insert(keep.key.clone(), sequence) {
            state.kept.remove(&former);
        }
        let kept = Kept {
            sequence,
            time: state.time,
            key: keep.key,
            value: keep.value,
        };
        state.kept.insert(sequence, (kept, now + keep.ttl));
        if sequence.is_multiple_of(SWEEP) {
            state.sweep(now);
        }
        sequence
    }

    pub(super) fn changes(&self, since: Option<&Mark>) -> Changes {
        let state = self.state.lock();
        let since = since.filter(|mark| mark.epoch == self.epoch);
        let since = since.and_then(|mark| state.common(mark));
        let now = Instant::now();
        let is_there = |(_, (_, end)): &(&u64, &(Kept, Instant))| *end > now;
        let after = since.unwrap_or(0) + 1;
        let kept = state.kept.range(after..).filter(is_there);
        Changes {
            kept: kept.map(|(_, (kept, _))| kept.clone()).collect(),
            mark: Mark {
                epoch: self.epoch.clone(),
                sequence: state.sequence,
                proofs: vec![state.last()],
            },
            since,
            total: state.kept.iter().filter(is_there).count() as u64,
        }
    }
}

/// What a store on a disk may do.
#[cfg(test)]
impl Keeping {
    /// Loses its end, and counts on from there.
    pub(super) fn set_back(&self, sequence: u64) {
        let state = &mut *self.state.lock();
        state.kept.split_off(&(sequence + 1));
        state.numbers.retain(|_, number| *number <= sequence);
        state.sequence = sequence;
    }

    /// Loses what it holds, and counts on.
    pub(super) fn purge(&self) {
        let state = &mut *self.state.lock();
        state.kept.clear();
        state.numbers.clear();
    }
}

impl State {
    fn last(&self) -> Stamp {
        Stamp {
            sequence: self.sequence,
            time: self.time,
        }
    }

    /// The newest change that a reader with this mark knows and that is there. 0 is: there was nothing to know.
    fn common(&self, mark: &Mark) -> Option<u64> {
        let is_there = |stamp: &&Stamp| {
            let kept = self.kept.get(&stamp.sequence);
            stamp.sequence == 0
                || **stamp == self.last()
                || kept.is_some_and(|(kept, _)| kept.time == stamp.time)
        };
        let proof = mark.proofs.iter().find(is_there);
        proof.map(|proof| proof.sequence)
    }

    fn sweep(&mut self, now: Instant) {
        self.kept.retain(|_, (_, end)| *end > now);
        self.numbers
            .retain(|_, sequence| self.kept.contains_key(sequence));
    }
}
