//! Sockets whose first request has not arrived yet, those of strangers that wait for another one, and requests whose body is read before
//! it is known whose it is. They cost a task and a buffer each and may take `http.header_timeout`, so there are only so many of each;
//! when one more comes, the oldest of its kind gives way. Whoever means it is through within a round trip, so those that are old are those that do not.
//!
//! They are bounded apart, so that those who send bodies without end, or come back for one request after another, close the door to
//! nobody who comes. A place
//! stands for as many bytes as a head may have. A body has one from its beginning and takes others as it arrives: what is
//! announced costs whoever announces it nothing, so nobody else has to give way to it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use tokio::sync::Notify;

use crate::{limits::Limit, worker::Worker};

/// What a socket is waited for.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The head of its first request, and what comes before it.
    Head,
    /// The head of another request.
    Another,
    /// The body of a request.
    Body,
}

impl Part {
    fn limit(self) -> Limit {
        match self {
            Self::Head => Limit::Handshakes,
            Self::Another => Limit::IdleSockets,
            Self::Body => Limit::Bodies,
        }
    }
}

/// Those of one worker.
#[derive(Default)]
pub struct Handshakes {
    heads: Waiting,
    idle: Waiting,
    bodies: Waiting,
}

impl Handshakes {
    fn of(&self, part: Part) -> &Waiting {
        match part {
            Part::Head => &self.heads,
            Part::Another => &self.idle,
            Part::Body => &self.bodies,
        }
    }
}

/// Those of one kind, by the order in which they came.
#[derive(Default)]
struct Waiting {
    open: RefCell<BTreeMap<u64, Open>>,
    next: Cell<u64>,
    /// Of all that are open.
    places: Cell<usize>,
}

struct Open {
    gives_way: Rc<Notify>,
    places: usize,
}

impl Waiting {
    /// Adds one that has no place yet; returns its number.
    fn add(&self, gives_way: Rc<Notify>) -> u64 {
        let number = self.next.replace(self.next.get() + 1);
        let open = Open { gives_way, places: 0 };
        self.open.borrow_mut().insert(number, open);
        number
    }

    /// One has `places` from now on, at most all that there are. The oldest give way where that is too many, itself as well;
    /// returns how many did.
    fn hold(&self, number: u64, places: usize, most: usize) -> usize {
        let mut all = self.open.borrow_mut();
        let Some(open) = all.get_mut(&number) else {
            return 0;
        };
        let places = places.clamp(1, most.max(1));
        let mut taken = self.places.get() - open.places + places;
        open.places = places;
        let mut gone = 0;
        while taken > most
            && let Some((_, oldest)) = all.pop_first()
        {
            taken -= oldest.places;
            oldest.gives_way.notify_one();
            gone += 1;
        }
        self.places.set(taken);
        gone
    }

    fn remove(&self, number: u64) {
        // It is gone already when it had to give way.
        if let Some(open) = self.open.borrow_mut().remove(&number) {
            self.places.set(self.places.get() - open.places);
        }
    }
}

/// One socket among them, until it is dropped.
pub(super) struct Handshake {
    worker: Rc<Worker>,
    part: Part,
    number: u64,
}

impl Handshake {
    /// `gives_way` is notified when this socket has to give way.
    pub(super) fn begin(worker: &Rc<Worker>, part: Part, gives_way: &Rc<Notify>) -> Self {
        let handshake = Self {
            worker: worker.clone(),
            part,
            number: worker.handshakes().of(part).add(gives_way.clone()),
        };
        handshake.hold(0);
        handshake
    }

    /// So many bytes are in memory for it now.
    pub(super) fn hold(&self, bytes: usize) {
        let gateway = &self.worker.gateway;
        let most = self.worker.handshake_limit();
        let each = self.worker.live().settings.http.header_max_size.max(1);
        let waiting = self.worker.handshakes().of(self.part);
        for _ in 0..waiting.hold(self.number, bytes.div_ceil(each), most as usize) {
            gateway.limiter.reached(self.part.limit(), &"the oldest socket");
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.worker.handshakes().of(self.part).remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 10;

    fn oldest(waiting: &Waiting) -> Option<u64> {
        waiting.open.borrow().keys().next().copied()
    }

    #[test]
    fn the_oldest_give_way_to_what_has_arrived() {
        let waiting = Waiting::default();
        let hold = |number, places| waiting.hold(number, places, MOST);
        let numbers: Vec<_> = (0..MOST).map(|_| waiting.add(Rc::default())).collect();
        assert!(
            numbers.iter().all(|number| hold(*number, 0) == 0),
            "one place each"
        );
        let large = waiting.add(Rc::default());
        assert_eq!((hold(large, 1), oldest(&waiting)), (1, Some(1)));
        assert_eq!((hold(large, 4), oldest(&waiting)), (3, Some(4)));
        assert_eq!(hold(large, 4), 0, "it has them already");
        assert_eq!(hold(0, 4), 0, "it gave way");
        waiting.remove(large);
        waiting.remove(0);
        assert_eq!(waiting.places.get(), 6);
        // More than there are at all: it has all of them.
        let huge = waiting.add(Rc::default());
        assert_eq!((hold(huge, 1_000), waiting.places.get()), (6, MOST));
        let last = waiting.add(Rc::default());
        assert_eq!((hold(last, 1), waiting.places.get()), (1, 1));
    }

    #[test]
    fn the_oldest_gives_way_when_it_is_the_one_that_grows() {
        let waiting = Waiting::default();
        let numbers: Vec<_> = (0..MOST).map(|_| waiting.add(Rc::default())).collect();
        for number in &numbers {
            waiting.hold(*number, 1, MOST);
        }
        assert_eq!(waiting.hold(numbers[0], 2, MOST), 1);
        assert_eq!(
            (oldest(&waiting), waiting.places.get()),
            (Some(numbers[1]), MOST - 1)
        );
    }
}
