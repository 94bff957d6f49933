//! Changes of what is revoked, told to every gateway and answered when they are in force.

use std::time::Duration;

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
    /// so. Where others may be that were not heard yet the limit is waited for.
    pub async fn put_in_force(&self, gateway: &Gateway, kept: Kept, limit: Duration) -> bool {
        self.nodes.hear(Announcement::of(gateway));
        let mut missing = self.nodes.heeding_revocations();
        if !self.knows_others() {
            missing.insert(Uuid::nil());
        }
        let Kept { sequence, key, value } = kept;
        let tell = |question| {
            let message = Message::Revoke {
                question,
                sequence,
                key,
                value,
            };
            // Whoever is not told finds out by itself.
            if let Err(error) = self.send(gateway, Recipient::All, message) {
                debug!(%error, "could not tell the others what is revoked");
            }
            Ok(())
        };
        self.in_force.ask_within(limit, missing, tell).await.is_ok()
    }

    /// Tells a gateway that a change which it named is in force here.
    pub fn in_force(&self, gateway: &Gateway, to: Uuid, question: Uuid) {
        if let Err(error) = self.send(gateway, Recipient::Node(to), Message::Revoked { question }) {
            debug!(%error, "could not say that a revocation is in force");
        }
    }
}
