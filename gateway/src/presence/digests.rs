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
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// Messages between two pauses: a part of what the client of NATS queues (2,048), which publications use as well.
pub(super) const MESSAGES_AT_ONCE: usize = 256;

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
            let mut sent = 0;
            for (to, channel) in owed {
                match send(gateway, to, &channel) {
                    Err(BusError::Overloaded) => {
                        digests.owe(gateway, to, &channel);
                        sent = MESSAGES_AT_ONCE;
                    }
                    result => sent += result.unwrap_or(0),
                }
                if sent >= MESSAGES_AT_ONCE {
                    sent = 0;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Returns how many messages it took. What a bus that is away does not take is asked for again when it is back.
fn send(gateway: &Gateway, to: Uuid, channel: &str) -> Result<usize, BusError> {
    let digests = gateway.presence.digests_of(channel, gateway.presence_page());
    let count = digests.len();
    digests
        .into_iter()
        .try_for_each(|digest| gateway.cluster.send_digest(gateway, to, digest))?;
    Ok(count)
}

impl super::Presence {
    fn digests_of(&self, channel: &str, page_size: usize) -> Vec<Digest> {
        let shard = self.shard(channel).lock();
        match shard.get(channel) {
            Some(roster) if roster.own().next().is_some() => roster.digests(channel, page_size),
            _ => vec![Digest::of_nobody(channel)],
        }
    }
}
