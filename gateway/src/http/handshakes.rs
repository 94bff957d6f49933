//! Sockets whose first request has not arrived yet, and those that send the body of a request before it is known whose it is. They
//! cost a task and a buffer each and may take `http.header_timeout`, so there are only so many; when one more comes, the oldest
//! gives way. Whoever means it is through within a round trip, so those that are old are those that do not.
//!
//! A place stands for as many bytes as a head may have; who may send a larger body takes several, so the limit also bounds what
//! all of them hold in memory.

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
    open: RefCell<BTreeMap<u64, Open>>,
    next: Cell<u64>,
    /// Of all that are open.
    places: Cell<usize>,
}

struct Open {
    gives_way: Rc<Notify>,
    places: usize,
}

/// One socket among them, until it is dropped.
pub(super) struct Handshake {
    worker: Rc<Worker>,
    number: u64,
}

impl Handshakes {
    fn remove(&self, number: u64) -> Option<Open> {
        let open = self.open.borrow_mut().remove(&number)?;
        self.places.set(self.places.get() - open.places);
        Some(open)
    }

    fn oldest(&self) -> Option<u64> {
        self.open.borrow().keys().next().copied()
    }

    /// Adds one, for which the oldest give way if they have to; returns its number, and how many did.
    fn add(&self, gives_way: Rc<Notify>, places: usize, most: usize) -> (u64, usize) {
        let places = places.clamp(1, most.max(1));
        let mut gone = 0;
        while self.places.get() + places > most
            && let Some(oldest) = self.oldest().and_then(|number| self.remove(number))
        {
            oldest.gives_way.notify_one();
            gone += 1;
        }
        let number = self.next.replace(self.next.get() + 1);
        self.places.set(self.places.get() + places);
        self.open.borrow_mut().insert(number, Open { gives_way, places });
        (number, gone)
    }
}

impl Handshake {
    /// `gives_way` is notified when this socket has to give way. `bytes`: of what may be read while it holds its place.
    pub(super) fn begin(worker: &Rc<Worker>, gives_way: &Rc<Notify>, bytes: usize) -> Self {
        let workers = u32::try_from(worker.gateway.workers()).unwrap_or(u32::MAX).max(1);
        let (most, each) = {
            let live = worker.live();
            let http = &live.settings.http;
            (
                http.handshake_limit.div_ceil(workers),
                http.header_max_size.max(1),
            )
        };
        let places = bytes.div_ceil(each);
        let (number, gone) = worker.handshakes().add(gives_way.clone(), places, most as usize);
        for _ in 0..gone {
            worker
                .gateway
                .limiter
                .reached(Limit::Handshakes, &"the oldest socket");
        }
        Self {
            worker: worker.clone(),
            number,
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        // It is gone already when it had to give way.
        drop(self.worker.handshakes().remove(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_takes_the_places_of_several() {
        let handshakes = Handshakes::default();
        let add = |places| handshakes.add(Rc::default(), places, 10);
        let numbers: Vec<_> = (0..10).map(|_| add(1)).collect();
        assert!(numbers.iter().all(|(_, gone)| *gone == 0));
        let (large, gone) = add(4);
        assert_eq!((gone, handshakes.oldest()), (4, Some(4)));
        drop(handshakes.remove(large));
        assert_eq!(handshakes.places.get(), 6);
        assert!(handshakes.remove(0).is_none(), "it gave way");
        // More than there are at all: it has all of them.
        let (huge, gone) = add(1_000);
        assert_eq!((gone, handshakes.places.get()), (6, 10));
        assert_eq!(add(1).1, 1);
        assert!(handshakes.remove(huge).is_none());
        assert_eq!(handshakes.places.get(), 1);
    }
}
