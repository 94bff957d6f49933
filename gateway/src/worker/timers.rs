//! One timer wheel for all connections of a worker; each has at most one entry.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue::Expired};

use super::Worker;
use crate::session::Session;

#[derive(Default)]
pub(super) struct Timers {
    wheel: RefCell<DelayQueue<Rc<Session>>>,
    /// An empty wheel does not wake whoever waits on it when it gets its first entry.
    waiting: RefCell<Option<Waker>>,
}

impl Worker {
    /// Sets the session's timer, in place of the one it had.
    pub fn schedule(&self, session: &Rc<Session>, after: Duration) {
        let mut wheel = self.timers.wheel.borrow_mut();
        match session.timer().get() {
            Some(key) => wheel.reset(&key, after),
            None => session.timer().set(Some(wheel.insert(session.clone(), after))),
        }
        drop(wheel);
        if let Some(waker) = self.timers.waiting.take() {
            waker.wake();
        }
    }

    /// When the session's timer fires.
    pub fn timer_due(&self, session: &Session) -> Option<Instant> {
        let key = session.timer().get()?;
        Some(self.timers.wheel.borrow().deadline(&key))
    }

    pub fn cancel_timer(&self, session: &Session) {
        if let Some(key) = session.timer().take() {
            self.timers.wheel.borrow_mut().try_remove(&key);
        }
    }

    /// Fires timers for as long as the worker lives.
    pub async fn run_timers(self: Rc<Self>) {
        loop {
            let session = self.next_expired().await.into_inner();
            session.timer().set(None);
            session.timer_fired(&self);
        }
    }

    async fn next_expired(&self) -> Expired<Rc<Session>> {
        poll_fn(|cx| match self.timers.wheel.borrow_mut().poll_expired(cx) {
            Poll::Ready(Some(expired)) => Poll::Ready(expired),
            Poll::Ready(None) => {
                self.timers.waiting.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
