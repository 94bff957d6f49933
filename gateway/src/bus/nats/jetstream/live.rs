//! What arrives live, and whether something is missing before it.
//!
//! Every message names its sequence and that of the message before it *in the same room*, so one comparison shows a
//! gap. A predecessor of 0 is ambiguous: the first message of the room, or the first after its messages expired or were
//! purged, and on some servers after the newest was deleted. It is never taken as a fresh start: what the stream has in
//! between is looked up.

use super::direct_get::number;
use crate::bus::nats::message::Headers;

/// A message of ours that is no publication: it only moves the position.
pub(super) const MARKER: &str = "Natter-Marker";
/// The same, made by the server.
const SERVER_MARKER: &str = "Nats-Marker-Reason";

/// Where a live message stands in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus::nats) struct Arrival {
    pub(in crate::bus::nats) sequence: u64,
    /// The message before it in the same room, 0 when the stream knew none.
    pub(in crate::bus::nats) previous: u64,
    /// Not a publication: nobody is shown it.
    pub(in crate::bus::nats) marker: bool,
}

impl Arrival {
    /// `None` when a stream did not publish it.
    pub(in crate::bus::nats) fn read(message: &impl Headers) -> Option<Self> {
        Some(Self {
            sequence: number(message, "Nats-Sequence")?,
            previous: number(message, "Nats-Last-Sequence")?,
            marker: is_marker(message),
        })
    }
}

pub(super) fn is_marker(message: &impl Headers) -> bool {
    [MARKER, SERVER_MARKER]
        .iter()
        .any(|&name| message.header(name).is_some())
}

/// Whether a gateway stored it to say that everything before it was removed.
pub(super) fn is_removal(message: &impl Headers) -> bool {
    message.header(MARKER).is_some()
}

/// The position of a live room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus::nats) struct Tracker {
    position: u64,
}

/// What to do with an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus::nats) enum Verdict {
    /// Drop it: it was dealt with before.
    Old,
    /// Deliver it; the position has moved to it.
    Next,
    /// Hold it. First deliver everything with `after` < sequence ≤ `until` and call [`Tracker::advance`], then ask
    /// again. What cannot be read is lost.
    Gap { after: u64, until: u64 },
    /// As `Gap`, but there is probably nothing; `until` is the arrival itself, which the stream may return too. What
    /// cannot be read was removed, not lost.
    Check { after: u64, until: u64 },
}

impl Tracker {
    /// Starts after the message with this sequence.
    pub(in crate::bus::nats) fn new(position: u64) -> Self {
        Self { position }
    }

    /// Sequence of the last message that was dealt with.
    pub(in crate::bus::nats) fn position(self) -> u64 {
        self.position
    }

    pub(in crate::bus::nats) fn observe(&mut self, arrival: Arrival) -> Verdict {
        let Arrival {
            sequence, previous, ..
        } = arrival;
        let after = self.position;
        if sequence <= after {
            Verdict::Old
        } else if previous > after {
            Verdict::Gap {
                after,
                until: previous,
            }
        } else if previous == 0 && after > 0 {
            Verdict::Check {
                after,
                until: sequence,
            }
        } else {
            // A smaller predecessor than ours means that ours was deleted.
            self.position = sequence;
            Verdict::Next
        }
    }

    /// Everything up to `sequence` was dealt with.
    pub(in crate::bus::nats) fn advance(&mut self, sequence: u64) {
        self.position = self.position.max(sequence);
    }
}

#[cfg(test)]
mod tests;
