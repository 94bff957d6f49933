//! What is looked at again although nothing suggests it: heads of rooms, and streams.
//!
//! A head is compared soon after the join, because the live copy of a message that was stored in that moment may have
//! been lost; after every reconnect, at once and once more; and in turns all the time. The turns read many heads with
//! one request and wake only the rooms that are behind. A turn is made at once when live copies may not have come: some were
//! dropped because a room's queue was full, a stream has a new leader, or a stream's settings were wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::debug;

use super::{Durable, LiveRoom};
use crate::{
    bus::BusStatus,
    metrics::{BusMetrics, HeadCheck},
};

/// After a join or a reconnect.
const SOON: Duration = Duration::from_millis(1_500);
/// Between two turns over all rooms.
const TURN: Duration = Duration::from_secs(30);
/// Rooms that one request asks about.
const HEADS: usize = 512;
/// Rooms that are woken at once after joins or a reconnect, and the pause before the next ones. Each has a task until its
/// head is known.
const WAKE: usize = 256;
const WAKE_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at the streams.
const STREAMS: Duration = Duration::from_secs(30);
/// The same while `JetStream` has not answered for all of them.
const UNCONFIRMED_STREAMS: Duration = Duration::from_secs(3);
/// Least time between two looks that suspicion causes.
const SUSPICION_PAUSE: Duration = Duration::from_secs(1);

/// Where joins are announced.
pub(super) struct Joins(mpsc::UnboundedSender<Due>);

pub(super) struct Queue(mpsc::UnboundedReceiver<Due>);

struct Due {
    at: Instant,
    room: Weak<LiveRoom>,
}

pub(super) fn queue() -> (Joins, Queue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Joins(sender), Queue(receiver))
}

impl Joins {
    /// The room's head is looked at soon.
    pub(super) fn add(&self, room: &Arc<LiveRoom>) {
        // The receiver is gone only when the gateway stops.
        let _ = self.0.send(Due {
            at: Instant::now() + SOON,
            room: Arc::downgrade(room),
        });
    }
}

pub(super) fn start(durable: &Arc<Durable>, queue: Queue) {
    tokio::spawn(joins(queue, durable.shared.metrics.clone()));
    tokio::spawn(reconnects(durable.clone()));
    tokio::spawn(turns(durable.clone()));
    tokio::spawn(drops(durable.clone()));
    tokio::spawn(streams(durable.clone()));
}

async fn joins(mut queue: Queue, metrics: BusMetrics) {
    let mut waiting = VecDeque::new();
    loop {
        let due = waiting.front().map(|due: &Due| due.at);
        tokio::select! {
            joined = queue.0.recv() => match joined {
                Some(joined) => waiting.push_back(joined),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let now = Instant::now();
                let due = waiting.iter().take(WAKE).take_while(|due| due.at <= now).count();
                for room in waiting.drain(..due).filter_map(|due| due.room.upgrade()) {
                    metrics.heads_checked(HeadCheck::Join, 1);
                    room.check();
                }
                if due == WAKE {
                    sleep(WAKE_PAUSE).await;
                }
            }
        }
    }
}

async fn reconnects(durable: Arc<Durable>) {
    let mut status = durable.shared.status.subscribe();
    let mut was_up = false;
    while status.changed().await.is_ok() {
        let up = *status.borrow_and_update() == BusStatus::Up;
        if up && was_up {
            durable.shared.suspicion.notify_one();
            wake_all(&durable).await;
            sleep(SOON).await;
            wake_all(&durable).await;
        }
        was_up |= up;
    }
}

async fn wake_all(durable: &Durable) {
    let rooms = durable.live_rooms();
    for some in rooms.chunks(WAKE) {
        durable
            .shared
            .metrics
            .heads_checked(HeadCheck::Reconnect, some.len());
        for room in some {
            room.check();
        }
        sleep(WAKE_PAUSE).await;
    }
}

async fn turns(durable: Arc<Durable>) {
    let mut ticks = interval(TURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if durable.shared.is_up() {
            turn(&durable, HeadCheck::Turn).await;
        }
    }
}

async fn turn(durable: &Durable, reason: HeadCheck) {
    let mut by_stream: BTreeMap<String, BTreeMap<String, Arc<LiveRoom>>> = BTreeMap::new();
    for room in durable.live_rooms() {
        let stored = room.stored();
        by_stream
            .entry(stored.partition.stream.clone())
            .or_default()
            .insert(stored.subject, room);
    }
    for (stream, rooms) in by_stream {
        let subjects: Vec<_> = rooms.keys().map(String::as_str).collect();
        for some in subjects.chunks(HEADS) {
            durable.shared.metrics.heads_checked(reason, some.len());
            match durable.jetstream.heads(&stream, some).await {
                Ok(heads) => wake_behind(&rooms, &heads),
                Err(error) => debug!(%error, stream, "could not read the heads of rooms"),
            }
        }
    }
}

fn wake_behind(rooms: &BTreeMap<String, Arc<LiveRoom>>, heads: &[(String, u64)]) {
    for (subject, head) in heads {
        if let Some(room) = rooms
            .get(subject)
            .filter(|room| *head > room.position.load(Ordering::Acquire))
        {
            room.check();
        }
    }
}

/// Live copies may have been dropped, of whatever room: all heads are compared, and once more for replicas that lag.
async fn drops(durable: Arc<Durable>) {
    loop {
        durable.shared.missed.notified().await;
        turn(&durable, HeadCheck::Drop).await;
        sleep(SOON).await;
        turn(&durable, HeadCheck::Drop).await;
    }
}

async fn streams(durable: Arc<Durable>) {
    let mut status = durable.shared.status.subscribe();
    loop {
        let unconfirmed = !durable.shared.condition.borrow().unconfirmed.is_empty();
        let pause = if unconfirmed { UNCONFIRMED_STREAMS } else { STREAMS };
        tokio::select! {
            () = sleep(pause) => {}
            () = durable.shared.suspicion.notified() => {}
            changed = status.changed() => if changed.is_err() { return },
        }
        if durable.shared.is_up() {
            durable.look_at_streams().await;
            sleep(SUSPICION_PAUSE).await;
        }
    }
}
