//! One live durable room: its deliveries come in order, each once, without gaps that could be filled.
//!
//! What is next is delivered on the spot, by whoever reads the link; a room that nothing is amiss in has no task. When
//! something has to be fetched, compared or waited for, a task takes over the room's course ([`deliveries`]), what
//! arrives meanwhile waits behind it, and the task gives the course back when nothing waits any more.

mod deliveries;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::{Level, warn};

use self::deliveries::Deliveries;
use super::{Durable, StoredRoom};
use crate::{
    bus::nats::{
        jetstream::{Arrival, Partition, Tracker, Verdict},
        link::{Delivery, Taker},
        message,
    },
    channel::Channel,
    history::{Epoch, HistoryPolicy, Position},
    publication::Publication,
};

pub(super) struct LiveRoom {
    pub(super) channel: Channel,
    pub(super) policy: Arc<HistoryPolicy>,
    durable: Arc<Durable>,
    stored: Mutex<StoredRoom>,
    /// Sequence of the newest publication that was delivered.
    pub(super) position: AtomicU64,
    /// Its position when it was subscribed.
    began_at: AtomicU64,
    state: Mutex<State>,
    /// Set under the lock of the state.
    task: Mutex<Option<AbortHandle>>,
    /// A task is not aborted in the middle of a turn: it looks here before it tells the gateway anything, which by then
    /// would be of another life of the room.
    ended: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Where the room is; `None` before it begins and while a task has it.
    course: Option<Course>,
    /// What arrived meanwhile.
    waiting: VecDeque<Arrived>,
    /// The position is to be compared with the stream's head.
    check: bool,
}

#[derive(Clone)]
struct Course {
    tracker: Tracker,
    /// The stream that all this is of.
    partition: Arc<Partition>,
}

/// A message of the room.
struct Arrived {
    arrival: Arrival,
    /// `None` when it says nothing to anybody.
    publication: Option<Publication>,
}

/// Where deliveries begin.
#[derive(Clone, Copy)]
pub(super) struct Beginning {
    /// Sequence of the room's newest message, 0 when it has none.
    pub(super) head: u64,
    /// What its stream had reached before.
    pub(super) reached: u64,
}

impl Beginning {
    /// The position of the room. One without messages is told where its stream is: 0 would be the same position again
    /// when messages have come and gone, and who has it would seem to have missed none.
    pub(super) fn position(self) -> u64 {
        if self.head > 0 { self.head } else { self.reached }
    }
}

impl LiveRoom {
    /// What arrives waits until the room begins.
    pub(super) fn new(
        durable: &Arc<Durable>,
        channel: Channel,
        policy: Arc<HistoryPolicy>,
        stored: StoredRoom,
    ) -> Arc<Self> {
        Arc::new(Self {
            channel,
            policy,
            durable: durable.clone(),
            stored: Mutex::new(stored),
            position: AtomicU64::new(0),
            began_at: AtomicU64::new(0),
            state: Mutex::default(),
            task: Mutex::default(),
            ended: AtomicBool::new(false),
        })
    }

    pub(super) fn begin(self: &Arc<Self>, beginning: Beginning) {
        self.position.store(beginning.head, Ordering::Release);
        self.began_at.store(beginning.position(), Ordering::Release);
        let mut state = self.state.lock();
        state.course = Some(Course {
            tracker: Tracker::new(beginning.head),
            partition: self.stored.lock().partition.clone(),
        });
        self.work(&mut state);
    }

    pub(super) fn stop(&self) {
        self.ended.store(true, Ordering::Release);
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    pub(super) fn stored(&self) -> StoredRoom {
        self.stored.lock().clone()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.stored.lock().partition.epoch.clone()
    }

    /// The position that its members know at least.
    pub(super) fn known(&self) -> u64 {
        let position = self.position.load(Ordering::Acquire);
        position.max(self.began_at.load(Ordering::Acquire))
    }

    /// The room is in another stream now; its task finds out.
    pub(super) fn move_to(self: &Arc<Self>, stored: StoredRoom) {
        *self.stored.lock() = stored;
        self.check();
    }

    /// Compares the room's position with the head of its stream.
    pub(super) fn check(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.check = true;
        self.work(&mut state);
    }

    /// Gives the course to a task when there is something to do and none has it.
    fn work(self: &Arc<Self>, state: &mut State) {
        if (state.waiting.is_empty() && !state.check) || self.has_ended() {
            return;
        }
        let Some(course) = state.course.take() else { return };
        let deliveries = Deliveries::new(self.clone(), course);
        let task = self.durable.runtime.spawn(deliveries.run());
        *self.task.lock() = Some(task.abort_handle());
        if self.has_ended() {
            // Perhaps it was looked for before it was here.
            self.stop();
        }
    }

    /// What the task does next; with nothing left to do it ends, and the room has its course again.
    fn next_task(&self, course: &Course) -> Option<Task> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.check) {
            return Some(Task::Compare);
        }
        if let Some(arrived) = state.waiting.pop_front() {
            return Some(Task::Take(arrived));
        }
        state.waiting = VecDeque::new();
        state.course = Some(course.clone());
        *self.task.lock() = None;
        None
    }

    /// What waits longest.
    fn next_waiting(&self) -> Option<Arrived> {
        self.state.lock().waiting.pop_front()
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// `None` when it is no message of a stream.
    fn read(&self, delivery: &Delivery<'_>) -> Option<Arrived> {
        let metrics = &self.durable.shared.metrics;
        let Some(arrival) = Arrival::read(delivery) else {
            metrics.error("no_stream_message");
            return None;
        };
        if arrival.marker {
            return Some(Arrived {
                arrival,
                publication: None,
            });
        }
        let decoded = message::decode(delivery, Bytes::copy_from_slice(delivery.payload));
        let publication = decoded.map(|publication| Publication {
            offset: arrival.sequence,
            ..publication
        });
        if let Err(error) = &publication {
            metrics.error("undecodable");
            if self
                .durable
                .shared
                .log_budget
                .cause("undecodable", Level::WARN)
                .admit()
            {
                warn!(channel = %self.channel, %error, "dropped a message of the bus");
            }
        }
        Some(Arrived {
            arrival,
            publication: publication.ok(),
        })
    }

    /// Deals with what needs no waiting; false when something has to be waited for first, and nothing has changed.
    fn take_now(&self, course: &mut Course, arrived: &Arrived) -> bool {
        if self.epoch() != course.partition.epoch {
            return false;
        }
        let mut tracker = course.tracker;
        match tracker.observe(arrived.arrival) {
            Verdict::Old => self.durable.shared.suspicion.notify_one(),
            Verdict::Next => {
                if let Some(publication) = &arrived.publication {
                    let events = &self.durable.shared.events;
                    if events.publication(&self.channel, publication.clone()).is_err() {
                        return false;
                    }
                }
                self.passed(&course.partition, arrived.arrival);
                course.tracker = tracker;
                self.position.store(tracker.position(), Ordering::Release);
            }
            Verdict::Gap { .. } | Verdict::Check { .. } => return false,
        }
        true
    }

    fn passed(&self, partition: &Partition, arrival: Arrival) {
        partition.see(arrival.sequence);
        if arrival.marker {
            self.removed();
        }
    }

    /// What was said so far was removed.
    fn removed(&self) {
        if !self.has_ended() {
            self.durable.shared.events.removed(&self.channel);
        }
    }

    fn tell_lost(&self, epoch: Epoch, offset: u64) {
        if !self.has_ended() {
            let position = Position { epoch, offset };
            self.durable.shared.events.lost(&self.channel, position);
        }
    }

    /// More wait than may: this one is found again like any that was lost on the way.
    fn drop_arrived(&self) {
        let shared = &self.durable.shared;
        shared.metrics.error("slow_consumer");
        shared.missed.notify_one();
        if shared.log_budget.cause("slow_consumer", Level::WARN).admit() {
            warn!(channel = %self.channel, "dropped a message of the bus: the queue of its room is full");
        }
    }
}

/// What the task of a room does next.
enum Task {
    Compare,
    Take(Arrived),
}

impl Taker for LiveRoom {
    fn take(self: Arc<Self>, delivery: &Delivery<'_>) {
        if self.has_ended() {
            return;
        }
        if let Some(from) = message::presence(delivery) {
            return self
                .durable
                .shared
                .hear_presence(&self.channel, from, delivery.payload);
        }
        let Some(arrived) = self.read(delivery) else {
            return;
        };
        let mut state = self.state.lock();
        let Some(course) = &mut state.course else {
            if state.waiting.len() < self.durable.shared.config.subscription_capacity {
                state.waiting.push_back(arrived);
            } else {
                self.drop_arrived();
            }
            return;
        };
        if !self.take_now(course, &arrived) {
            state.waiting.push_back(arrived);
            self.work(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its subjects, its subscription and its places in tables a room is to stay below 1 KiB.
    #[test]
    fn a_room_is_small() {
        let size = size_of::<LiveRoom>();
        assert!(size <= 256, "{size} bytes");
    }
}
