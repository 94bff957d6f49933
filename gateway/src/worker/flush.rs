//! The end of a turn: everything that was queued is written, one vectored write for each socket.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use tokio::task::yield_now;

use super::Worker;
use crate::session::Session;

/// Sockets written to before other tasks get their turn again: about a millisecond of system calls.
const SLICE: usize = 256;
/// Bytes after which a slice ends early: copying them takes as long.
const SLICE_BYTES: usize = 1 << 20;
/// Places of a slice that are the bulk's however much else there is.
const BULK_SHARE: usize = 64;

/// Which sockets are written to first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// There is nothing to write.
    #[default]
    Clean,
    /// Behind the others: broadcasts of large and of busy rooms.
    Bulk,
    /// At once: answers and everything else.
    Prompt,
}

/// Sockets that have something to send, in the order in which they got it.
#[derive(Default)]
pub(super) struct Dirty {
    prompt: RefCell<VecDeque<Rc<Session>>>,
    /// Some of them may have been written to meanwhile, from the other lane.
    bulk: RefCell<VecDeque<Rc<Session>>>,
    is_due: Cell<bool>,
    /// Set while the flush waits for work.
    waker: Cell<Option<Waker>>,
}

impl Worker {
    pub fn mark_dirty(&self, session: &Rc<Session>, lane: Lane) {
        let list = match lane {
            Lane::Clean => return,
            Lane::Bulk => &self.dirty.bulk,
            Lane::Prompt => &self.dirty.prompt,
        };
        if session.move_to(lane) {
            list.borrow_mut().push_back(session.clone());
            self.wake_flush();
        }
    }

    /// Whether the bulk has as much to write as one turn writes.
    pub(super) fn has_full_lane(&self) -> bool {
        self.dirty.bulk.borrow().len() >= SLICE
    }

    /// There is something to write, or to add to the shared counters.
    pub(super) fn wake_flush(&self) {
        self.dirty.is_due.set(true);
        if let Some(waker) = self.dirty.waker.take() {
            waker.wake();
        }
    }

    /// Writes what the turns queue, for as long as the worker lives.
    pub async fn run_flush(self: Rc<Self>) {
        loop {
            self.wait_for_dirty().await;
            // Everything that is ready now runs first and only queues.
            yield_now().await;
            while self.flush_slice() {
                yield_now().await;
            }
            self.counters.flush();
        }
    }

    /// Writes to some of the sockets; whether there are more.
    fn flush_slice(self: &Rc<Self>) -> bool {
        let mut bytes = 0;
        let prompt = self.flush_lane(&self.dirty.prompt, Lane::Prompt, SLICE, &mut bytes);
        bytes = bytes.min(SLICE_BYTES / 2);
        self.flush_lane(
            &self.dirty.bulk,
            Lane::Bulk,
            (SLICE - prompt).max(BULK_SHARE),
            &mut bytes,
        );
        !self.dirty.prompt.borrow().is_empty() || !self.dirty.bulk.borrow().is_empty()
    }

    /// Writes to at most `most` sockets of a lane; how many it were.
    fn flush_lane(
        self: &Rc<Self>,
        list: &RefCell<VecDeque<Rc<Session>>>,
        lane: Lane,
        most: usize,
        bytes: &mut usize,
    ) -> usize {
        let mut written = 0;
        while written < most && *bytes < SLICE_BYTES {
            let Some(session) = list.borrow_mut().pop_front() else {
                break;
            };
            if session.lane() == lane {
                *bytes += session.flush(self);
                written += 1;
            }
        }
        written
    }

    async fn wait_for_dirty(&self) {
        poll_fn(|cx| {
            if !self.dirty.is_due.take() {
                self.dirty.waker.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}
