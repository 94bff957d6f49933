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
//!
//! A durable room also has a position here, which is always that of the newest publication handed to the workers: who
//! joins learns it under the same lock, so what it is told and what it is then given meet without gap or overlap.

mod linger;
mod recent;
mod room;

use std::{
    collections::HashMap,
    future::ready,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

pub use self::linger::Linger;
use self::{
    linger::Emptied,
    recent::Recent,
    room::{Room, State},
};
use crate::{
    bus::{BoxFuture, BusError, Overloaded, SharedBus},
    channel::Channel,
    history::{Epoch, Position},
    inbox::{Inbox, Note},
    metrics::RoomMetrics,
    outgoing::Outgoing,
    publication::Publication,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Publications arrive already; those of a durable room that follow the position.
    Live(Generation, Option<Position>),
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
        subscribe: impl FnOnce() -> Option<BoxFuture<Result<Option<Position>, BusError>>>,
        runtime: &tokio::runtime::Handle,
    ) -> Joined {
        let mut shard = self.shard(channel).lock();
        if let Some(room) = shard.rooms.get_mut(&**channel) {
            room.workers |= 1 << worker;
            room.emptied_at = None;
            return match room.state {
                State::Live => Joined::Live(room.generation, room.position()),
                State::Joining => Joined::Pending(room.generation),
            };
        }
        shard.last_generation += 1;
        let generation = shard.last_generation;
        let room = Room {
            generation,
            state: State::Joining,
            workers: 1 << worker,
            overloaded: 0,
            emptied_at: None,
            durable: None,
            early: Vec::new(),
            last: None,
        };
        shard.rooms.insert(channel.clone(), room);
        self.metrics.live.inc();
        drop(shard);

        let began = Instant::now();
        let mut subscribed = subscribe().unwrap_or_else(|| Box::pin(ready(Err(BusError::Disconnected))));
        // What the embedded bus answers at once needs no other thread, whose wake-up would cost more than the join.
        let at_once = {
            let _entered = runtime.enter();
            (&mut subscribed).now_or_never()
        };
        if let Some(result) = at_once {
            self.joined(channel, generation, began, result);
        } else {
            let (rooms, channel) = (self.clone(), channel.clone());
            runtime.spawn(async move { rooms.joined(&channel, generation, began, subscribed.await) });
        }
        Joined::Pending(generation)
    }

    fn joined(
        &self,
        channel: &Channel,
        generation: Generation,
        began: Instant,
        result: Result<Option<Position>, BusError>,
    ) {
        self.metrics.joined(
            result.as_ref().map(|_| ()).map_err(|error| *error),
            began.elapsed(),
        );
        self.answer(channel, generation, result);
    }

    /// Tells the waiting workers how the subscription went.
    fn answer(&self, channel: &Channel, generation: Generation, result: Result<Option<Position>, BusError>) {
        let mut shard = self.shard(channel).lock();
        let Some(room) = shard.rooms.get_mut(&**channel) else {
            return;
        };
        let workers = room.workers;
        let note = match result {
            Ok(position) => {
                room.state = State::Live;
                // Deliveries may have gone beyond it already, over a gap (`Rooms::lose`).
                if room.durable.is_none() {
                    room.begin(position);
                }
                if workers == 0 {
                    self.linger(channel, room);
                }
                Note::RoomLive {
                    channel: channel.clone(),
                    generation,
                    position: room.position(),
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
        room.overloaded &= room.workers;
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

    /// Hands a publication to every worker with members in `channel`, all of them or none: `Overloaded` when one
    /// cannot take it. `address` is called when somebody is there, with what they were given before if differences count. A
    /// durable room's position follows, also while nobody is.
    pub fn deliver(
        &self,
        channel: &str,
        publication: Publication,
        address: impl FnOnce(Channel, &Arc<Publication>, Option<Arc<Publication>>) -> Option<Outgoing>,
    ) -> Result<(), Overloaded> {
        let mut shard = self.shard(channel).lock();
        let Some(name) = shard.rooms.get_key_value(channel).map(|(name, _)| name.clone()) else {
            return Ok(());
        };
        let Some(room) = shard.rooms.get_mut(channel) else {
            return Ok(());
        };
        let workers = room.workers;
        if room.overloaded != 0 || self.inboxes_of(workers).any(|inbox| !inbox.has_space()) {
            return Err(Overloaded);
        }
        let offset = publication.offset;
        if offset > 0 && room.has(offset) {
            // A subscription that has just been ended hands on its last.
            return Ok(());
        }
        let publication = Arc::new(publication);
        let previous = room.last.take();
        let outgoing = if workers == 0 {
            None
        } else {
            address(name, &publication, previous)
        };
        if outgoing.as_ref().is_some_and(Outgoing::is_origin) {
            room.last = Some(publication.clone());
        }
        if offset > 0 {
            room.advance(publication);
        }
        if let Some(outgoing) = outgoing.map(Arc::new) {
            for inbox in self.inboxes_of(workers) {
                inbox.push(Note::Publication(outgoing.clone()));
            }
        }
        Ok(())
    }

    /// Tells every worker with members in `channel` something that is bounded elsewhere.
    pub fn tell(&self, channel: &str, note: &Note) {
        let shard = self.shard(channel).lock();
        if let Some(room) = shard.rooms.get(channel) {
            for inbox in self.inboxes_of(room.workers) {
                inbox.push(note.clone());
            }
        }
    }

    /// Says whether `worker` has more of the room to deliver than it wants to keep.
    pub fn set_overloaded(&self, channel: &str, worker: WorkerId, is_overloaded: bool) {
        if let Some(room) = self.shard(channel).lock().rooms.get_mut(channel) {
            room.overloaded &= !(1 << worker);
            room.overloaded |= (u64::from(is_overloaded) << worker) & room.workers;
        }
    }

    /// Deliveries of a durable room go on from `position` with a gap before it.
    pub fn lose(&self, channel: &str, position: &Position) {
        let mut shard = self.shard(channel).lock();
        let Some(name) = shard.rooms.get_key_value(channel).map(|(name, _)| name.clone()) else {
            return;
        };
        let Some(room) = shard.rooms.get_mut(channel) else {
            return;
        };
        room.begin(Some(position.clone()));
        for inbox in self.inboxes_of(room.workers) {
            inbox.push(Note::PositionLost {
                channel: name.clone(),
                position: position.clone(),
            });
        }
    }

    /// What a live durable room published after `since` up to `until`; `None` when it has to be read from the bus.
    pub fn recent(
        &self,
        channel: &str,
        epoch: &Epoch,
        since: u64,
        until: u64,
    ) -> Option<Vec<Arc<Publication>>> {
        let shard = self.shard(channel).lock();
        let durable = shard.rooms.get(channel)?.durable.as_deref()?;
        let counts = durable.position.epoch == *epoch && durable.position.offset >= until;
        counts.then(|| durable.recent.between(since, until))?
    }

    /// Keeps what was read from the bus, everything after `since` up to `head`, for the next who asks.
    pub fn remember(&self, channel: &str, since: u64, read: &[Arc<Publication>], head: &Position) {
        let mut shard = self.shard(channel).lock();
        let durable = shard
            .rooms
            .get_mut(channel)
            .and_then(|room| room.durable.as_mut());
        if let Some(durable) = durable.filter(|durable| durable.position.epoch == head.epoch) {
            durable.recent.prepend(since, read, head.offset);
        }
    }

    /// What the room has published so far was removed: nobody gets it any more.
    pub fn forget(&self, channel: &str) {
        let mut shard = self.shard(channel).lock();
        if let Some(durable) = shard
            .rooms
            .get_mut(channel)
            .and_then(|room| room.durable.as_mut())
        {
            durable.recent = Recent::removed_until(durable.position.offset);
        }
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

#[cfg(test)]
mod tests;
