//! Changes of what is revoked, told to every gateway and answered when they are in force.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::debug;
use uuid::Uuid;

use super::{ANNOUNCE_EVERY, Announcement, Message, Recipient, survey::Collected};
use crate::{bus::Kept, gateway::Gateway};

/// A change is in force at all gateways.
#[derive(Default)]
pub(super) struct Confirmed;

impl Collected for Confirmed {
    type Part = ();

    fn add(&mut self, (): ()) {}
}

impl super::Cluster {
    /// Tells every gateway what was kept in the store named `epoch` and waits until all have it in force, or those that have not
    /// said so are without a lease; false then.
    ///
    /// Whoever was heard is asked for as long as a lease can outlast its last word. After the bus was away, all have the time to
    /// announce themselves.
    pub async fn put_in_force(&self, gateway: &Gateway, epoch: &Arc<str>, kept: &Kept) -> bool {
        let settings = gateway.live().settings.revocation.clone();
        let end = Instant::now() + settings.lease_is_over();
        let outlasts = settings.lease_is_over() + ANNOUNCE_EVERY;
        let unheard = self.until_others_are_known();
        let confirmed = self.ask_for_force(gateway, epoch, kept, (end, outlasts)).await;
        let Some(known) = unheard else {
            return confirmed;
        };
        sleep_until(known.min(end)).await;
        self.ask_for_force(gateway, epoch, kept, (end, outlasts)).await && confirmed
    }

    async fn ask_for_force(
        &self,
        gateway: &Gateway,
        epoch: &Arc<str>,
        kept: &Kept,
        (end, outlasts): (Instant, Duration),
    ) -> bool {
        self.nodes.hear(Announcement::of(gateway));
        let missing = self.nodes.heeding_revocations(outlasts);
        let tell = |question| {
            let message = Message::Revoke {
                question,
                epoch: epoch.to_string(),
                sequence: kept.sequence,
                key: kept.key.clone(),
                value: kept.value.clone(),
            };
            // Whoever is not told finds out by itself.
            if let Err(error) = self.send(gateway, Recipient::All, message) {
                debug!(%error, "could not tell the others what is revoked");
            }
            Ok(())
        };
        let limit = end.saturating_duration_since(Instant::now());
        self.in_force.ask_within(limit, missing, tell).await.is_ok()
    }

    /// Tells a gateway that a change which it named is in force here.
    pub fn in_force(&self, gateway: &Gateway, to: Uuid, question: Uuid) {
        if let Err(error) = self.send(gateway, Recipient::Node(to), Message::Revoked { question }) {
            debug!(%error, "could not say that a revocation is in force");
        }
    }
}
