//! Sockets whose first request has not arrived yet. They cost a task and a buffer each and may say nothing for
//! `http.header_timeout`, so there are only so many; when one more comes, the oldest gives way. Whoever means it is through
//! within a round trip, so those that are old are those that do not.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use tokio::sync::Notify;

use crate::{limits::Limit, worker::Worker};

/// Those of one worker, by the order in which they came.
#[derive(Default)]
pub struct Handshakes {
    open: RefCell<BTreeMap<u64, Rc<Notify>>>,
    next: Cell<u64>,
}

/// One socket among them, until it is dropped.
pub(super) struct Handshake {
    worker: Rc<Worker>,
    number: u64,
}

impl Handshake {
    /// The other is notified when this socket has to give way.
    pub(super) fn begin(worker: &Rc<Worker>) -> (Self, Rc<Notify>) {
        let handshakes = worker.handshakes();
        let workers = u32::try_from(worker.gateway.workers()).unwrap_or(u32::MAX).max(1);
        let most = worker.live().settings.http.handshake_limit.div_ceil(workers);
        let mut open = handshakes.open.borrow_mut();
        if open.len() >= most as usize
            && let Some((_, oldest)) = open.pop_first()
        {
            worker
                .gateway
                .limiter
                .reached(Limit::Handshakes, &"the oldest socket");
            oldest.notify_one();
        }
        let number = handshakes.next.replace(handshakes.next.get() + 1);
        let gives_way = Rc::new(Notify::new());
        open.insert(number, gives_way.clone());
        drop(open);
        let worker = worker.clone();
        (Self { worker, number }, gives_way)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.worker.handshakes().open.borrow_mut().remove(&self.number);
    }
}
