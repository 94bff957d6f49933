//! Sockets between two requests. Whose last request showed no API key is a stranger again: of these there are only so many, and the
//! oldest of them gives way. Those of backends with a key stay for their next call; there may be as many of them, and those
//! beyond count as strangers.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Connection,
    handshakes::{Handshake, Part},
};
use crate::worker::Worker;

/// One socket that waits for a request, until it is dropped.
pub(super) enum Idle {
    Stranger(#[expect(dead_code, reason = "held for its place")] Handshake),
    Backend(#[expect(dead_code, reason = "held for its place")] BackendPlace),
}

/// Sockets of backends that wait at one worker.
#[derive(Default)]
pub struct IdleBackends(Cell<u32>);

pub(super) struct BackendPlace(Rc<Worker>);

/// Whether a request shows a valid API key: who answers it finds out, and tells the connection.
#[derive(Clone, Debug, Default)]
pub struct KeyShown(Arc<AtomicBool>);

impl KeyShown {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl IdleBackends {
    fn enter(&self, most: u32) -> bool {
        let has_room = self.0.get() < most;
        if has_room {
            self.0.set(self.0.get() + 1);
        }
        has_room
    }

    fn leave(&self) {
        self.0.set(self.0.get() - 1);
    }
}

impl BackendPlace {
    fn begin(worker: &Rc<Worker>) -> Option<Self> {
        let most = worker.handshake_limit();
        let entered = worker.idle_backends().enter(most);
        entered.then(|| Self(worker.clone()))
    }
}

impl Drop for BackendPlace {
    fn drop(&mut self) {
        self.0.idle_backends().leave();
    }
}

impl Connection {
    /// What the socket counts as until its next request.
    pub(super) fn wait_for_request(&self) {
        let backend = self.key_shown.take().then(|| BackendPlace::begin(&self.worker));
        let idle = backend.flatten().map_or_else(
            || Idle::Stranger(Handshake::begin(&self.worker, Part::Another, &self.gives_way)),
            Idle::Backend,
        );
        self.idle.set(Some(idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_backends() {
        let backends = IdleBackends::default();
        assert!(backends.enter(2) && backends.enter(2) && !backends.enter(2));
        backends.leave();
        assert!(backends.enter(2));
    }

    #[test]
    fn a_key_counts_for_one_request() {
        let shown = KeyShown::default();
        shown.clone().set();
        assert!(shown.take() && !shown.take());
    }
}
