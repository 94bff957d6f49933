//! The rooms of the whole gateway: the first join subscribes on the bus, the last leave unsubscribes.
//!
//! A worker joins a room when its first member there joins and leaves when its last one does. Between the last leave
//! and the end of the subscription lies a short linger, so that a page reload does not flap. States of a room:
//!
//! ```text
//! absent ─join─▶ joining ─bus answers─▶ live ◀─join─ lingering ─time is up─▶ absent
//!                   └──bus refuses──▶ absent └─last leave──▶┘
//! ```
//! Every transition happens under the lock of the room's shard, and so do the calls that end a subscription: a later
//! join starts a new one only after the former was taken back. A generation tells the answers for an earlier life of
//! a room from those for the present one.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    bus::{BoxFuture, BusError, Overloaded, SharedBus},
    channel::Channel,
    inbox::{Inbox, Note},
    metrics::RoomMetrics,
};

const SHARDS: usize = 64;

/// Identifies a worker of this gateway; at most [`MAX_WORKERS`].
pub type WorkerId = usize;
pub const MAX_WORKERS: usize = 64;

/// One life of a room, from its first join to its unsubscription.
pub type Generation = u64;

pub struct Rooms {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    inboxes: Vec<Arc<Inbox>>,
    metrics: RoomMetrics,
    emptied: mpsc::UnboundedSender<Emptied>,
}

#[derive(Default)]
struct Shard {
    rooms: HashMap<Channel, Room>,
    last_generation: Generation,
}

struct Room {
    generation: Generation,
    state: State,
    /// Bit n is set while worker n has members here.
    workers: u64,
    /// When the last member left, while nobody is here.
    emptied_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Joining,
    Live,
}

/// A room lost its last member at this moment.
struct Emptied {
    channel: Channel,
    generation: Generation,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Publications arrive already.
    Live(Generation),
    /// A [`Note::RoomLive`] or [`Note::RoomFailed`] of this generation will follow.
    Pending(Generation),
}

impl Rooms {
    pub fn new(inboxes: Vec<Arc<Inbox>>, metrics: RoomMetrics) -> (Arc<Self>, Linger) {
        let (emptied, receiver) = mpsc::unbounded_channel();
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        let rooms = Arc::new(Self {
            shards,
            hasher: RandomState::new(),
            inboxes,
            metrics,
            emptied,
        });
        (rooms, Linger { emptied: receiver })
    }

    fn shard(&self, channel: &str) -> &Mutex<Shard> {
        // The remainder is below SHARDS.
        &self.shards[usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or(0)]
    }

    /// Adds `worker` to the room; when it is the first, `subscribe` starts the subscription on the bus and `runtime`
    /// waits for it.
    pub fn join(
        self: &Arc<Self>,
        channel: &Channel,
        worker: WorkerId,
        subscribe: impl FnOnce() -> Option<BoxFuture<Result<(), BusError>>>,
        runtime: &tokio::runtime::Handle,
    ) -> Joined {
        let mut shard = self.shard(channel).lock();
        if let Some(room) = shard.rooms.get_mut(&**channel) {
            room.workers |= 1 << worker;
            room.emptied_at = None;
            return match room.state {
                State::Live => Joined::Live(room.generation),
                State::Joining => Joined::Pending(room.generation),
            };
        }
        shard.last_generation += 1;
        let generation = shard.last_generation;
        let room = Room {
            generation,
            state: State::Joining,
            workers: 1 << worker,
            emptied_at: None,
        };
        shard.rooms.insert(channel.clone(), room);
        self.metrics.live.inc();
        drop(shard);

        let began = Instant::now();
        let subscribed = subscribe();
        let (rooms, channel) = (self.clone(), channel.clone());
        runtime.spawn(async move {
            let result = match subscribed {
                Some(subscribed) => subscribed.await,
                None => Err(BusError::Disconnected),
            };
            rooms.metrics.joined(result, began.elapsed());
            rooms.answer(&channel, generation, result);
        });
        Joined::Pending(generation)
    }

    /// Tells the waiting workers how the subscription went.
    fn answer(&self, channel: &Channel, generation: Generation, result: Result<(), BusError>) {
        let mut shard = self.shard(channel).lock();
        let Some(room) = shard.rooms.get_mut(&**channel) else {
            return;
        };
        let workers = room.workers;
        let note = match result {
            Ok(()) => {
                room.state = State::Live;
                if workers == 0 {
                    self.linger(channel, room);
                }
                Note::RoomLive {
                    channel: channel.clone(),
                    generation,
                }
            }
            Err(error) => {
                shard.rooms.remove(&**channel);
                self.metrics.live.dec();
                Note::RoomFailed {
                    channel: channel.clone(),
                    generation,
                    error,
                }
            }
        };
        // Under the lock, so that no publication can overtake the note.
        for inbox in self.inboxes_of(workers) {
            inbox.push(note.clone());
        }
    }

    /// Takes `worker` out of the room; the last one starts the linger.
    pub fn leave(&self, channel: &Channel, worker: WorkerId) {
        let mut shard = self.shard(channel).lock();
        let Some(room) = shard.rooms.get_mut(&**channel) else {
            return;
        };
        room.workers &= !(1 << worker);
        if room.workers == 0 && room.state == State::Live {
            self.linger(channel, room);
        }
    }

    fn linger(&self, channel: &Channel, room: &mut Room) {
        let emptied = Emptied {
            channel: channel.clone(),
            generation: room.generation,
            at: Instant::now(),
        };
        room.emptied_at = Some(emptied.at);
        // The receiver is gone only when the gateway stops, and its subscriptions with it.
        let _ = self.emptied.send(emptied);
    }

    /// Unsubscribes a room that is still empty.
    fn expire(&self, emptied: &Emptied, bus: &SharedBus) {
        let mut shard = self.shard(&emptied.channel).lock();
        let still_empty = shard
            .rooms
            .get(&*emptied.channel)
            .is_some_and(|room| room.generation == emptied.generation && room.emptied_at == Some(emptied.at));
        if still_empty {
            shard.rooms.remove(&*emptied.channel);
            self.metrics.live.dec();
            bus.unsubscribe(&emptied.channel);
        }
    }

    /// Hands what `note` makes to every worker with members in `channel`, all of them or none: `Overloaded` when one
    /// cannot take it. Publications for a room that nobody is in end here.
    pub fn deliver(
        &self,
        channel: &str,
        note: impl FnOnce(&Channel) -> Option<Note>,
    ) -> Result<(), Overloaded> {
        let shard = self.shard(channel).lock();
        let Some((name, room)) = shard.rooms.get_key_value(channel) else {
            return Ok(());
        };
        let workers = room.workers;
        if workers == 0 {
            return Ok(());
        }
        if self.inboxes_of(workers).any(|inbox| !inbox.has_space()) {
            return Err(Overloaded);
        }
        if let Some(note) = note(name) {
            for inbox in self.inboxes_of(workers) {
                inbox.push(note.clone());
            }
        }
        Ok(())
    }

    fn inboxes_of(&self, workers: u64) -> impl Iterator<Item = &Arc<Inbox>> {
        self.inboxes
            .iter()
            .enumerate()
            .filter(move |(worker, _)| workers & (1 << worker) != 0)
            .map(|(_, inbox)| inbox)
    }

    /// Rooms that are subscribed or about to be, lingering ones included.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().rooms.len()).sum()
    }

    /// Rooms that somebody is in.
    pub fn occupied(&self) -> usize {
        let occupied = |shard: &Mutex<Shard>| {
            shard
                .lock()
                .rooms
                .values()
                .filter(|room| room.workers != 0)
                .count()
        };
        self.shards.iter().map(occupied).sum()
    }
}

/// Ends the subscriptions of rooms that stay empty. One queue serves all of them, for the time is the same for each.
pub struct Linger {
    emptied: mpsc::UnboundedReceiver<Emptied>,
}

impl Linger {
    pub async fn run(mut self, rooms: Arc<Rooms>, bus: SharedBus, linger: Duration) {
        let mut waiting: VecDeque<Emptied> = VecDeque::new();
        loop {
            let due = waiting.front().map(|emptied| emptied.at + linger);
            tokio::select! {
                emptied = self.emptied.recv() => match emptied {
                    Some(emptied) => waiting.push_back(emptied),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some(emptied) = waiting.pop_front() {
                        rooms.expire(&emptied, &bus);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
