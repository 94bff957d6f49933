//! Publications on their way to the members of a room, in turn with all other rooms of the worker.
//!
//! Those of a small room reach its members at once, and are written with the next flush. Two kinds wait in a backlog of
//! their room instead:
//!
//! - *large* rooms are given theirs a slice of members at a time, one room after the other, and their sockets are
//!   written to behind those of everybody else ([`Lane::Bulk`](super::Lane::Bulk)): who is in another room waits for a slice, whatever the
//!   number of members and messages;
//! - *busy* rooms collect what comes within a few milliseconds (`batch_window` of the namespace, half of it once there
//!   are two), for one write of several frames.
//!
//! What comes while a large room is being given a batch makes up the next one, so batches grow by themselves when the
//! worker has much to do. A room that is given more than its worker can write takes no more for a while: that is
//! refused (embedded bus) or dropped and counted (NATS), as for a worker that is behind, but of this room alone.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

use tokio::{task::yield_now, time::Instant};
use tokio_util::time::DelayQueue;

use super::Worker;
use crate::{
    outgoing::Outgoing,
    room::{Room, Step, Turn},
};

/// Members of a room from which on they get their publications in slices: as many as one turn writes to.
const LARGE: usize = 256;
/// Frames that are queued for members before other rooms and the flush have their turn.
pub(super) const PUSHES: usize = 4_096;
/// Publications that need not wait for more.
const ENOUGH: usize = 32;

/// Rooms whose publications wait.
#[derive(Default)]
pub(super) struct Broadcasts {
    /// Those whose turn it is, one after the other.
    ring: RefCell<VecDeque<Rc<Room>>>,
    /// Those that collect more for a while.
    collecting: RefCell<DelayQueue<Rc<Room>>>,
    /// Set while nobody has a turn.
    waker: Cell<Option<Waker>>,
}

impl Broadcasts {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Worker {
    /// Gives a publication to the members of its room, or lets it wait for its turn. Returns the frames queued.
    pub(super) fn broadcast(self: &Rc<Self>, outgoing: Arc<Outgoing>) -> usize {
        let room = self.rooms.borrow().get(&*outgoing.channel).cloned();
        let Some(room) = room else {
            self.done(&outgoing);
            return 0;
        };
        room.note_pace(Instant::now());
        let members = room.places();
        if room.has_backlog() || room.is_busy() || members > LARGE {
            self.enqueue(&room, Step::Publication(outgoing));
            return 0;
        }
        self.give_all(&room, &outgoing);
        members
    }

    /// Lets a step of the room wait for its turn.
    pub(super) fn enqueue(self: &Rc<Self>, room: &Rc<Room>, step: Step) {
        let is_listed = room.has_backlog();
        room.enqueue(step);
        if !is_listed {
            self.list(room);
        } else if let Some(timer) = room.timer()
            && room.collect_for(Instant::now(), ENOUGH).is_none()
        {
            room.set_timer(None);
            let due = self.broadcasts.collecting.borrow_mut().remove(&timer);
            self.queue(due.into_inner());
        }
        self.tell_overload(room);
    }

    /// Every room with a backlog is listed once: where rooms collect, or where they wait for their turn.
    fn list(&self, room: &Rc<Room>) {
        let Some(rest) = room.collect_for(Instant::now(), ENOUGH) else {
            return self.queue(room.clone());
        };
        let timer = self.broadcasts.collecting.borrow_mut().insert(room.clone(), rest);
        room.set_timer(Some(timer));
        self.broadcasts.wake();
    }

    fn queue(&self, room: Rc<Room>) {
        self.broadcasts.ring.borrow_mut().push_back(room);
        self.broadcasts.wake();
    }

    /// Nobody is in the room any more: what waits for its turn is dropped.
    pub(super) fn abandon(&self, room: &Room) {
        for outgoing in room.abandon() {
            self.done(&outgoing);
        }
    }

    /// Gives rooms their turns for as long as the worker lives.
    pub async fn run_broadcasts(self: Rc<Self>) {
        loop {
            let room = self.next_room().await;
            match room.turn(PUSHES) {
                Some(Turn::Slice(slice)) => self.give_slice(&room, &slice),
                Some(Turn::PositionLost(position)) => self.lose_position(&room, &position),
                None => {}
            }
            if room.has_backlog() {
                self.list(&room);
            }
            self.tell_overload(&room);
            // What a slice queues is written before the next one is queued, or the rooms would wait for each other's
            // sockets after all.
            yield_now().await;
            while self.has_full_lane() {
                yield_now().await;
            }
        }
    }

    async fn next_room(&self) -> Rc<Room> {
        let Broadcasts {
            ring,
            collecting,
            waker,
        } = &self.broadcasts;
        poll_fn(|cx| {
            while let Poll::Ready(Some(due)) = collecting.borrow_mut().poll_expired(cx) {
                let room = due.into_inner();
                room.set_timer(None);
                ring.borrow_mut().push_back(room);
            }
            let next = ring.borrow_mut().pop_front();
            next.map_or_else(
                || {
                    waker.set(Some(cx.waker().clone()));
                    Poll::Pending
                },
                Poll::Ready,
            )
        })
        .await
    }

    /// The publication takes no more space of the inbox.
    pub(super) fn done(&self, outgoing: &Outgoing) {
        self.gateway.inbox(self.id).done(outgoing);
    }

    fn tell_overload(&self, room: &Room) {
        if let Some(is_overloaded) = room.overload_change() {
            self.gateway
                .rooms
                .set_overloaded(&room.channel, self.id, is_overloaded);
        }
    }
}
