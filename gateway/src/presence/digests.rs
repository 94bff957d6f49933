//! Digests that other gateways asked for: made in turn, each once however often it was asked for.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Duration, sleep},
};
use uuid::Uuid;

use super::word::Digest;
use crate::{bus::BusError, channel::Channel, gateway::Gateway};

/// Digests that may be owed. Whoever asks for one more asks again later.
const MAX_OWED: usize = 65_536;
/// Until the bus may take more.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Digests {
    owed: Mutex<HashSet<(Uuid, Channel)>>,
    wake: Notify,
}

impl Digests {
    pub(super) fn owe(&self, gateway: &Gateway, to: Uuid, channel: &str) {
        let mut owed = self.owed.lock();
        if owed.len() >= MAX_OWED {
            gateway.metrics.presence.refused.inc();
            return;
        }
        owed.insert((to, channel.into()));
        drop(owed);
        self.wake.notify_one();
    }

    /// Sends what is owed for as long as the gateway lives.
    pub(super) async fn run(gateway: &Gateway) {
        let digests = &gateway.presence.digests;
        loop {
            digests.wake.notified().await;
            let owed = std::mem::take(&mut *digests.owed.lock());
            for (to, channel) in owed {
                for digest in gateway.presence.digests_of(&channel) {
                    send(gateway, to, digest).await;
                }
            }
        }
    }
}

/// A digest that cannot be sent is asked for again by whoever misses it.
async fn send(gateway: &Gateway, to: Uuid, digest: Digest) {
    for _ in 0..10 {
        match gateway.cluster.send_digest(gateway, to, digest.clone()) {
            Err(BusError::Overloaded) => sleep(PAUSE).await,
            _ => return,
        }
    }
}

impl super::Presence {
    fn digests_of(&self, channel: &str) -> Vec<Digest> {
        let shard = self.shard(channel).lock();
        match shard.get(channel) {
            Some(roster) if roster.own().next().is_some() => roster.digests(channel),
            _ => vec![Digest::of_nobody(channel)],
        }
    }
}
