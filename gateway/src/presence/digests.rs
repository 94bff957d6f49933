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
                if let Err(BusError::Overloaded) = send(gateway, to, &channel) {
                    digests.owe(gateway, to, &channel);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// What a bus that is away does not take is asked for again when it is back.
fn send(gateway: &Gateway, to: Uuid, channel: &str) -> Result<(), BusError> {
    let digests = gateway.presence.digests_of(channel);
    digests
        .into_iter()
        .try_for_each(|digest| gateway.cluster.send_digest(gateway, to, digest))
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
