//! What is looked at again although nothing suggests it: heads of rooms, and streams.
//!
//! A head is compared soon after the join, because the live copy of a message that was stored in that moment may have
//! been lost; after every reconnect, at once and once more; and in turns all the time. The turns read many heads with
//! one request and wake only the rooms that are behind.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{debug, warn};

use super::{Durable, LiveRoom};
use crate::bus::BusStatus;

/// After a join or a reconnect.
const SOON: Duration = Duration::from_millis(1_500);
/// Between two turns over all rooms.
const TURN: Duration = Duration::from_secs(30);
/// Rooms that one request asks about.
const HEADS: usize = 512;
/// Rooms that are woken at once after a reconnect, and the pause before the next ones.
const WAKE: usize = 256;
const WAKE_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at the streams.
const STREAMS: Duration = Duration::from_secs(30);
/// Least time between two looks that suspicion causes.
const SUSPICION_PAUSE: Duration = Duration::from_secs(1);

/// Where joins are announced.
pub(super) struct Joined(mpsc::UnboundedSender<Due>);

pub(super) struct Queue(mpsc::UnboundedReceiver<Due>);

struct Due {
    at: Instant,
    room: Weak<LiveRoom>,
}

pub(super) fn queue() -> (Joined, Queue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Joined(sender), Queue(receiver))
}

impl Joined {
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
    tokio::spawn(joins(queue));
    tokio::spawn(reconnects(durable.clone()));
    tokio::spawn(turns(durable.clone()));
    tokio::spawn(streams(durable.clone()));
}

async fn joins(mut queue: Queue) {
    let mut waiting = VecDeque::new();
    loop {
        let due = waiting.front().map(|due: &Due| due.at);
        tokio::select! {
            joined = queue.0.recv() => match joined {
                Some(joined) => waiting.push_back(joined),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some(room) = waiting.pop_front().and_then(|due| due.room.upgrade()) {
                    room.check();
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
            durable.suspicion.notify_one();
            wake_all(&durable).await;
            sleep(SOON).await;
            wake_all(&durable).await;
        }
        was_up |= up;
    }
}

async fn wake_all(durable: &Durable) {
    let rooms: Vec<_> = durable.rooms.lock().values().cloned().collect();
    for some in rooms.chunks(WAKE) {
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
            turn(&durable).await;
        }
    }
}

async fn turn(durable: &Durable) {
    let mut by_stream: BTreeMap<String, BTreeMap<String, Arc<LiveRoom>>> = BTreeMap::new();
    for room in durable.rooms.lock().values() {
        let stored = room.stored();
        by_stream
            .entry(stored.partition.stream.clone())
            .or_default()
            .insert(stored.subject, room.clone());
    }
    for (stream, rooms) in by_stream {
        let subjects: Vec<_> = rooms.keys().map(String::as_str).collect();
        for some in subjects.chunks(HEADS) {
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

/// Makes what was deleted, and tells the rooms of streams that are new.
async fn streams(durable: Arc<Durable>) {
    loop {
        tokio::select! {
            () = sleep(STREAMS) => {}
            () = durable.suspicion.notified() => {}
        }
        if durable.shared.is_up() {
            look_at_streams(&durable).await;
        }
        sleep(SUSPICION_PAUSE).await;
    }
}

async fn look_at_streams(durable: &Arc<Durable>) {
    let known: Vec<_> = durable.streams.lock().values().cloned().collect();
    for former in known {
        let Ok(streams) = durable.check_streams(&former.policy).await else {
            continue;
        };
        if streams.partitions() == former.streams.partitions() {
            continue;
        }
        warn!(namespace = %former.policy.namespace, "streams were made again: rooms start afresh");
        let now = super::Known {
            policy: former.policy.clone(),
            streams: streams.clone(),
        };
        durable
            .streams
            .lock()
            .insert(former.policy.namespace.clone(), now);
        let rooms: Vec<_> = durable.rooms.lock().values().cloned().collect();
        for room in rooms
            .iter()
            .filter(|room| room.policy.namespace == former.policy.namespace)
        {
            let stored = streams.room(&room.channel);
            if stored.partition.epoch != room.epoch() {
                room.move_to(stored);
            }
        }
    }
}
