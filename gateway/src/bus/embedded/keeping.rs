//! What is kept for every gateway, where there is one: as long as the process lives.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::bus::{Changes, Keep, Kept, Mark};

/// Changes between two looks for what has ended.
const SWEEP: u64 = 1_024;

pub(super) struct Keeping {
    epoch: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sequence: u64,
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
        }
    }

    fn number(&self, keep: Keep) -> u64 {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        let former = state.numbers.get(&keep.key);
        if let Some(former) = former.filter(|_| keep.only_new)
            && let Some((kept, end)) = state.kept.get(former)
            && *end > now
            && !kept.value.is_empty()
        {
            return 0;
        }
        state.sequence += 1;
        let sequence = state.sequence;
        if let Some(former) = state.numbers.insert(keep.key.clone(), sequence) {
            state.kept.remove(&former);
        }
        let kept = Kept {
            sequence,
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
        let now = Instant::now();
        let after = since.map_or(0, |mark| mark.sequence) + 1;
        let kept = state.kept.range(after..).filter(|(_, (_, end))| *end > now);
        Changes {
            kept: kept.map(|(_, (kept, _))| kept.clone()).collect(),
            mark: Mark {
                epoch: self.epoch.clone(),
                sequence: state.sequence,
            },
            whole: since.is_none(),
        }
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        self.kept.retain(|_, (_, end)| *end > now);
        self.numbers
            .retain(|_, sequence| self.kept.contains_key(sequence));
    }
}
