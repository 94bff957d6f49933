//! Changes of what is revoked, told to every gateway and answered when they are in force.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::debug;
use uuid::Uuid;

use super::{Announcement, Message, Recipient, survey::Collected};
use crate::{bus::Kept, gateway::Gateway};

/// A change is in force at all gateways.
#[derive(Default)]
pub(super) struct Confirmed;

impl Collected for Confirmed {
    type Part = ();

    fn add(&mut self, (): ()) {}
}

impl super::Cluster {
    /// Tells every gateway what was kept and waits, at most `limit`, until all have it in force; false when one did not say
    /// so. Where others may be that were not heard yet they are waited for.
    pub async fn put_in_force(&self, gateway: &Gateway, kept: &Kept, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let unheard = self.until_others_are_known();
        let confirmed = self.ask_for_force(gateway, kept, end).await;
        let Some(known) = unheard else {
            return confirmed;
        };
        sleep_until(known.min(end)).await;
        self.ask_for_force(gateway, kept, end).await && confirmed
    }

    async fn ask_for_force(&self, gateway: &Gateway, kept: &Kept, end: Instant) -> bool {
        self.nodes.hear(Announcement::of(gateway));
        let missing = self.nodes.heeding_revocations();
        let tell = |question| {
            let message = Message::Revoke {
                question,
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
