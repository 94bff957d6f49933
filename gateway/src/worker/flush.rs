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

/// Sockets that have something to send, in the order in which they got it.
#[derive(Default)]
pub(super) struct Dirty {
    sessions: RefCell<VecDeque<Rc<Session>>>,
    is_due: Cell<bool>,
    /// Set while the flush waits for work.
    waker: Cell<Option<Waker>>,
}

impl Worker {
    pub fn mark_dirty(&self, session: &Rc<Session>) {
        if session.become_dirty() {
            self.dirty.sessions.borrow_mut().push_back(session.clone());
            self.wake_flush();
        }
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
            let mut slice = SLICE;
            while let Some(session) = self.next_dirty() {
                session.flush(&self);
                slice -= 1;
                if slice == 0 {
                    slice = SLICE;
                    yield_now().await;
                }
            }
            self.counters.flush();
        }
    }

    fn next_dirty(&self) -> Option<Rc<Session>> {
        self.dirty.sessions.borrow_mut().pop_front()
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
