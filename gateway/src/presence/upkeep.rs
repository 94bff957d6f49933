//! What is done for presence from time to time: windows end, beats and repeated questions, gateways that are gone,
//! the return of the bus.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    Presence, SHARDS, WINDOW,
    digests::{Digests, MESSAGES_AT_ONCE, PAUSE},
    roster::{Policy, Roster},
};
use crate::{bus::BusStatus, channel::Channel, cluster::NODE_LIFETIME, gateway::Gateway};

/// Rooms that have their turn in one window: what they say must leave room in the client's queue.
const ROOMS_IN_A_WINDOW: usize = 1_000;
const TICK: Duration = Duration::from_millis(250);
/// Between two ticks: longer than a busy machine takes, and with it a lease lasts two announcements at least.
const STALL: Duration = Duration::from_secs(3);
/// Shards that are looked through in one tick.
const SHARDS_IN_A_TICK: usize = 8;

/// Rooms in which something is to be said or told.
#[derive(Default)]
pub(super) struct Due {
    rooms: Mutex<VecDeque<Channel>>,
    wake: Notify,
}

impl Due {
    /// Each room is in the list once.
    pub(super) fn list(&self, channel: &Channel, roster: &mut Roster) {
        if !mem::replace(&mut roster.is_due, true) {
            self.rooms.lock().push_back(channel.clone());
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Vec<Channel> {
        let mut rooms = self.rooms.lock();
        let count = rooms.len().min(ROOMS_IN_A_WINDOW);
        let taken = rooms.drain(..count).collect();
        if !rooms.is_empty() {
            self.wake.notify_one();
        }
        taken
    }
}

/// Keeps presence for as long as the gateway lives.
pub async fn run(gateway: Arc<Gateway>) {
    tokio::join!(windows(&gateway), Digests::run(&gateway), ticks(&gateway));
}

async fn windows(gateway: &Gateway) {
    let presence = &gateway.presence;
    loop {
        presence.due.wake.notified().await;
        sleep(WINDOW).await;
        for channel in presence.due.take() {
            presence.flush(gateway, &channel);
        }
    }
}

async fn ticks(gateway: &Gateway) {
    let Some(bus) = gateway.bus() else { return };
    let mut status = bus.status();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut up_since = Instant::now();
    let mut last = Instant::now();
    let mut next = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = status.changed() => {
                if changed.is_err() {
                    return;
                }
                if *status.borrow_and_update() == BusStatus::Up {
                    up_since = Instant::now();
                    gateway.presence.ask_all();
                }
            }
        }
        // A process that was halted has not heard the others, whatever waits to be read.
        if mem::replace(&mut last, Instant::now()).elapsed() >= STALL {
            up_since = Instant::now();
        }
        if !bus.is_up() {
            continue;
        }
        // Others could not be heard before.
        if up_since.elapsed() >= NODE_LIFETIME {
            gateway.presence.forget_silent(gateway);
        }
        for _ in 0..SHARDS_IN_A_TICK {
            if gateway.presence.look_through(gateway, next) >= MESSAGES_AT_ONCE {
                sleep(PAUSE).await;
            }
            next = (next + 1) % SHARDS;
        }
        if next == 0 {
            gateway.presence.measure(gateway);
            gateway.cluster.drop_answers();
        }
    }
}

impl Presence {
    /// What was said while the bus was away is unknown.
    fn ask_all(&self) {
        for shard in &self.shards {
            for (channel, roster) in &mut *shard.lock() {
                roster.ask_all();
                self.due.list(channel, roster);
            }
        }
    }

    /// The lease of a gateway is its announcements; one whose announcement is yet to come has a first one.
    fn forget_silent(&self, gateway: &Gateway) {
        let silent = |heard: &Instant| heard.elapsed() >= NODE_LIFETIME;
        let nodes: Vec<_> = self
            .nodes
            .lock()
            .iter()
            .filter(|(_, heard)| silent(heard))
            .map(|(node, _)| *node)
            .collect();
        for node in nodes {
            if !gateway.cluster.is_present(node) {
                self.forget(gateway, node);
            }
        }
    }

    /// Beats, and questions that were not answered. Returns how many messages that took: those that are too many wait for
    /// the next time.
    fn look_through(&self, gateway: &Gateway, shard: usize) -> usize {
        let mut asked = Vec::new();
        let mut beats = 0;
        let live = gateway.live();
        for (channel, roster) in &mut *self.shards[shard].lock() {
            if let Some(namespace) = live.namespaces.of(channel)
                && roster.follow(Policy::of(namespace))
            {
                self.due.list(channel, roster);
            }
            if beats + asked.len() >= MESSAGES_AT_ONCE {
                continue;
            }
            if roster.is_beat_due() {
                let beat = roster.beat();
                beats += 1;
                if gateway.announce(channel, beat.clone().encode()).is_ok() {
                    roster.said(&beat, None);
                }
            }
            asked.extend(roster.ask_again().into_iter().map(|node| (node, channel.clone())));
        }
        let messages = beats + asked.len();
        for (node, channel) in asked {
            gateway.metrics.presence.repairs.inc();
            gateway.cluster.ask_members(gateway, node, &channel);
        }
        messages
    }

    fn measure(&self, gateway: &Gateway) {
        let (mut rooms, mut own, mut others) = (0, 0, 0);
        for shard in &self.shards {
            for roster in shard.lock().values() {
                let known = roster.known();
                (rooms, own, others) = (rooms + 1, own + known.0, others + known.1);
            }
        }
        gateway.metrics.presence.measured(rooms, own, others);
    }
}
