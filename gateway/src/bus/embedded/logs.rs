//! All durable rooms, and the sweep that gives back the memory of those that nobody uses.
//!
//! ```text
//!             a store                         all of it too old
//! any state ───────────▶ holding something ─────┬──────────────▶ idle ──────────▶ forgotten
//!                                               │ but joined       ▲
//!                                               └──────────▶ joined ┘ last leave
//! ```
//! An idle room costs its position only, about 330 bytes: name, epoch and last offset, by which a client that comes
//! back learns whether it missed something. It is kept for [`IDLE_TTL`], and [`MAX_IDLE_ROOMS`] bound how many of them
//! there are, whoever asks for however many names. A forgotten room begins anew under another epoch, so who comes back
//! to it is told that its position cannot be recovered, never that nothing happened. A room that somebody is in is not
//! forgotten.
//!
//! Two kinds of locks. That of a shard finds rooms and is never held while another is taken or a publication is
//! delivered. That of a room orders its publications. A room is reached by a pointer that is copied under the lock of
//! its shard: while there is one pointer only, nobody is at work in the room or can begin to be, so the sweep needs no
//! lock of it.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    iter::repeat_with,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::log::Log;
use crate::{
    bus::Overloaded,
    channel::Channel,
    config::HistoryOptions,
    history::{Page, Position, Query, Receipt, StoreError},
    publication::Publication,
};

const SHARDS: usize = 64;

/// For how long an unused room keeps its position, as Centrifugo's `history_meta_ttl`.
const IDLE_TTL: Duration = Duration::from_hours(30 * 24);
/// Unused rooms that keep their positions.
const MAX_IDLE_ROOMS: usize = 1 << 18;
const MAX_IDLE_ROOMS_OF_SHARD: usize = MAX_IDLE_ROOMS / SHARDS;

/// Time between two sweeps, and the least time between two visits of a room.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Visits under one lock of a shard: with [`SWEEP_PAUSE`], 50,000 rooms a second at most.
const SWEEP_VISITS: usize = 16;
/// Pause within a sweep that has more to do.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Logs {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    rooms: HashMap<Channel, Room>,
    /// Rooms that hold something, by the time of their next visit.
    holding: BTreeSet<(Instant, Channel)>,
    /// Rooms that hold nothing and that nobody is in, the longest unused first.
    idle: BTreeSet<(Instant, Channel)>,
}

struct Room {
    log: Arc<Mutex<Log>>,
    /// Whether the gateway is subscribed.
    joined: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It holds publications or keys; at this time the sweep looks at it.
    Holding(Instant),
    /// It holds nothing, but somebody is in it.
    Joined,
    /// It is of no use since this time.
    Idle(Instant),
}

/// What a room is opened for.
#[derive(Clone, Copy)]
enum Purpose {
    Store(Duration),
    Read,
    Subscribe,
}

impl Logs {
    pub(super) fn new() -> Self {
        Self {
            shards: repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, channel: &str) -> &Mutex<Shard> {
        let shards = self.shards.len() as u64;
        // The remainder is below their number.
        &self.shards[usize::try_from(self.hasher.hash_one(channel) % shards).unwrap_or(0)]
    }

    fn open(&self, channel: &str, purpose: Purpose) -> Arc<Mutex<Log>> {
        self.shard(channel).lock().open(channel, purpose, Instant::now())
    }

    pub(super) fn store(
        &self,
        channel: &str,
        options: &HistoryOptions,
        publication: &Publication,
        key: Option<&str>,
        deliver: impl FnOnce(Publication) -> Result<(), Overloaded>,
    ) -> Result<Receipt, StoreError> {
        let log = self.open(channel, Purpose::Store(options.ttl));
        let mut log = log.lock();
        log.store(options, publication, key, deliver)
    }

    /// Reads a room. One that is not known begins here, so that the position which is answered means something later.
    pub(super) fn page(&self, channel: &str, query: &Query) -> Page {
        self.open(channel, Purpose::Read).lock().page(query)
    }

    /// Keeps the room until [`Logs::unsubscribe`]; answers its position.
    pub(super) fn subscribe(&self, channel: &str) -> Position {
        self.open(channel, Purpose::Subscribe).lock().position()
    }

    pub(super) fn unsubscribe(&self, channel: &Channel) {
        self.shard(channel).lock().unsubscribe(channel, Instant::now());
    }

    pub(super) fn clear(&self, channel: &str) {
        let log = self
            .shard(channel)
            .lock()
            .rooms
            .get(channel)
            .map(|room| room.log.clone());
        if let Some(log) = log {
            log.lock().clear();
        }
    }

    /// Visits the rooms of all shards that are due, some at a time; says whether there are more.
    async fn visit(&self) -> bool {
        let mut more = false;
        for shard in &self.shards {
            more |= shard.lock().sweep(Instant::now());
            yield_now().await;
        }
        more
    }
}

/// Gives memory back until it is aborted.
pub(super) async fn sweep(logs: Arc<Logs>) {
    loop {
        let more = logs.visit().await;
        sleep(if more { SWEEP_PAUSE } else { SWEEP_INTERVAL }).await;
    }
}

impl Purpose {
    fn joins(self) -> bool {
        matches!(self, Self::Subscribe)
    }

    fn next(self, state: State, now: Instant) -> State {
        match (self, state) {
            (Self::Store(ttl), State::Holding(due)) => State::Holding(due.min(visit_after(ttl, now))),
            (Self::Store(ttl), _) => State::Holding(visit_after(ttl, now)),
            (Self::Read, State::Idle(_)) => State::Idle(now),
            (Self::Subscribe, State::Idle(_)) => State::Joined,
            (Self::Read | Self::Subscribe, state) => state,
        }
    }
}

/// A visit that comes too early only finds that there is nothing to do, so no time is too long.
fn visit_after(remaining: Duration, now: Instant) -> Instant {
    now + remaining.clamp(SWEEP_INTERVAL, IDLE_TTL)
}

impl Shard {
    fn open(&mut self, channel: &str, purpose: Purpose, now: Instant) -> Arc<Mutex<Log>> {
        let Some(room) = self.rooms.get_mut(channel) else {
            return self.create(&channel.into(), purpose, now);
        };
        room.joined |= purpose.joins();
        let log = room.log.clone();
        let state = purpose.next(room.state, now);
        if state != room.state
            && let Some((name, _)) = self.rooms.get_key_value(channel)
        {
            let name = name.clone();
            self.change(&name, state, now);
        }
        log
    }

    fn create(&mut self, name: &Channel, purpose: Purpose, now: Instant) -> Arc<Mutex<Log>> {
        let log = Arc::new(Mutex::new(Log::new()));
        let room = Room {
            log: log.clone(),
            joined: purpose.joins(),
            // In no list yet.
            state: State::Joined,
        };
        self.rooms.insert(name.clone(), room);
        self.change(name, purpose.next(State::Idle(now), now), now);
        log
    }

    fn unsubscribe(&mut self, name: &Channel, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        room.joined = false;
        if room.state == State::Joined {
            self.change(name, State::Idle(now), now);
        }
    }

    fn change(&mut self, name: &Channel, state: State, now: Instant) {
        self.list(name, state);
        if self.idle.len() > MAX_IDLE_ROOMS_OF_SHARD {
            self.forget_longest_unused(now);
        }
    }

    /// Puts the room into the list of its new state.
    fn list(&mut self, name: &Channel, state: State) {
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        match std::mem::replace(&mut room.state, state) {
            State::Holding(due) => self.holding.remove(&(due, name.clone())),
            State::Idle(since) => self.idle.remove(&(since, name.clone())),
            State::Joined => false,
        };
        match state {
            State::Holding(due) => self.holding.insert((due, name.clone())),
            State::Idle(since) => self.idle.insert((since, name.clone())),
            State::Joined => false,
        };
    }

    /// Says whether there may be more to do.
    fn sweep(&mut self, now: Instant) -> bool {
        (0..SWEEP_VISITS).all(|_| self.visit_due(now) || self.forget_expired(now))
    }

    /// Visits one room that is due, if there is one.
    fn visit_due(&mut self, now: Instant) -> bool {
        let Some((_, name)) = self.holding.first().filter(|(due, _)| *due <= now).cloned() else {
            return false;
        };
        if let Some(room) = self.rooms.get_mut(&name) {
            let state = match Arc::get_mut(&mut room.log).map(|log| log.get_mut().sweep(now)) {
                // Somebody is at work in it: next time.
                None => State::Holding(visit_after(Duration::ZERO, now)),
                Some(Some(remaining)) => State::Holding(visit_after(remaining, now)),
                Some(None) if room.joined => State::Joined,
                Some(None) => State::Idle(now),
            };
            self.change(&name, state, now);
        }
        true
    }

    /// Forgets one room that was idle for long enough, if there is one.
    fn forget_expired(&mut self, now: Instant) -> bool {
        let oldest = self.idle.first();
        let expired = oldest.is_some_and(|(since, _)| now.duration_since(*since) >= IDLE_TTL);
        if expired {
            self.forget_longest_unused(now);
        }
        expired
    }

    fn forget_longest_unused(&mut self, now: Instant) {
        let Some((_, name)) = self.idle.first().cloned() else {
            return;
        };
        let in_use = |room: &mut Room| Arc::get_mut(&mut room.log).is_none();
        if self.rooms.get_mut(&name).is_some_and(in_use) {
            self.list(&name, State::Idle(now));
        } else {
            self.idle.pop_first();
            self.rooms.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests;
