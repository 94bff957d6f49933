//! What writers said and were told, by everybody's own account and nobody else's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Rooms, spread over the namespace's partitions.
pub(crate) const ROOMS: [&str; 6] = ["log:a", "log:b", "log:c", "log:d", "log:e", "log:f"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Sent, and never known to be stored.
    Unknown,
    /// Stored, at this offset if the door told it.
    Acknowledged(Option<u64>),
}

pub(crate) struct Entry {
    pub(crate) room: usize,
    pub(crate) outcome: Outcome,
}

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Mutex<HashMap<String, Entry>>,
    /// Ids by room, in the order of their acknowledgements.
    acknowledged: [Mutex<Vec<String>>; ROOMS.len()],
    /// What must not happen and did.
    problems: Mutex<Vec<String>>,
    pub(crate) retries: AtomicU64,
    pub(crate) repeats: AtomicU64,
    pub(crate) recoveries: AtomicU64,
    pub(crate) recovered: AtomicU64,
    pub(crate) refused_joins: AtomicU64,
    pub(crate) lost_positions: AtomicU64,
    /// How often a gateway's counters were added up.
    pub(crate) scrapes: AtomicU64,
    stopped: AtomicBool,
}

impl Ledger {
    pub(crate) fn begin(&self, id: &str, room: usize) {
        let entry = Entry {
            room,
            outcome: Outcome::Unknown,
        };
        self.entries.lock().insert(id.to_owned(), entry);
    }

    pub(crate) fn acknowledge(&self, id: &str, offset: Option<u64>) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(id) else { return };
        entry.outcome = Outcome::Acknowledged(offset);
        self.acknowledged[entry.room].lock().push(id.to_owned());
    }

    /// Acknowledged messages by room.
    pub(crate) fn counts(&self) -> [usize; ROOMS.len()] {
        std::array::from_fn(|room| self.acknowledged[room].lock().len())
    }

    pub(crate) fn count(&self) -> usize {
        self.counts().iter().sum()
    }

    /// The message whose acknowledgement was the room's `number`th, counted from 0.
    pub(crate) fn nth(&self, room: usize, number: usize) -> Option<String> {
        self.acknowledged[room].lock().get(number).cloned()
    }

    pub(crate) fn problem(&self, problem: impl Into<String>) {
        let problem = problem.into();
        eprintln!("problem: {problem}");
        self.problems.lock().push(problem);
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }

    /// Writers end after the message at hand.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
