//! What other threads have for a worker: publications, answers of the bus, control messages.
//!
//! Publications are bounded by count and bytes; a worker that is so far behind makes the embedded bus refuse (111)
//! and the NATS bus drop, counted, since a core subject has no way to push back. Everything else always fits: it is
//! bounded by the number of rooms and of API calls under way.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::{
    bus::BusError, channel::Channel, cluster::Command, history::Position, outgoing::Outgoing, presence::Told,
    rooms::Generation,
};

/// Publications that may wait for one worker.
const MAX_PUBLICATIONS: usize = 65_536;
/// Their bytes, counted once for each.
const MAX_BYTES: usize = 64 << 20;

#[derive(Clone)]
pub enum Note {
    Publication(Arc<Outgoing>),
    RoomLive {
        channel: Channel,
        generation: Generation,
        position: Option<Position>,
    },
    /// A durable room goes on from `position`, after a gap that cannot be filled.
    PositionLost {
        channel: Channel,
        position: Position,
    },
    RoomFailed {
        channel: Channel,
        generation: Generation,
        error: BusError,
    },
    /// Who joined and left a room; one batch of a room is under way at a time.
    Presence(Arc<Told>),
    Command(Arc<Command>),
    /// There are new settings.
    Reload,
}

#[derive(Default)]
pub struct Inbox {
    notes: Mutex<VecDeque<Note>>,
    publications: AtomicUsize,
    bytes: AtomicUsize,
    waker: AtomicWaker,
}

impl Inbox {
    /// Whether another publication fits. Senders race for the last places, so the bound is met to within their number.
    pub fn has_space(&self) -> bool {
        self.publications.load(Ordering::Relaxed) < MAX_PUBLICATIONS
            && self.bytes.load(Ordering::Relaxed) < MAX_BYTES
    }

    pub fn push(&self, note: Note) {
        if let Note::Publication(outgoing) = &note {
            self.publications.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(outgoing.size(), Ordering::Relaxed);
        }
        let was_empty = {
            let mut notes = self.notes.lock();
            notes.push_back(note);
            notes.len() == 1
        };
        if was_empty {
            self.waker.wake();
        }
    }

    /// Takes all that waits.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<VecDeque<Note>> {
        self.waker.register(cx.waker());
        let notes = std::mem::take(&mut *self.notes.lock());
        if notes.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(notes)
        }
    }

    /// Gives back the space of a publication that was handled.
    pub fn done(&self, outgoing: &Outgoing) {
        self.publications.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(outgoing.size(), Ordering::Relaxed);
    }
}
