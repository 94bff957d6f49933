//! Changes of what is revoked, told to every gateway and answered when they are in force.
//!
//! Acknowledged means: in force at every gateway that may still have a lease. A gateway hears the others say that they are there; what
//! it has not heard of, because it has only just begun, those who were there before know ([`Message::AskLeases`]). So a gateway that is
//! cut off is waited for wherever any of those who answer has heard of it. One that nobody who is left has heard of, because all others
//! began after it was cut off, is not.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::debug;
use uuid::Uuid;

use super::{ANNOUNCE_EVERY, Announcement, Message, Recipient, survey::Collected};
use crate::{bus::Kept, gateway::Gateway};

/// In which the others answer a newcomer's first word.
const INTRODUCTION: Duration = Duration::from_millis(500);

/// A change is in force at all gateways.
#[derive(Default)]
pub(super) struct Confirmed;

impl Collected for Confirmed {
    type Part = ();

    fn add(&mut self, (): ()) {}
}

/// Gateways that may have a lease, as others know them.
#[derive(Default)]
pub(super) struct Leases(HashSet<Uuid>);

impl Collected for Leases {
    type Part = Vec<Uuid>;

    fn add(&mut self, nodes: Vec<Uuid>) {
        self.0.extend(nodes);
    }
}

/// A change that is to be in force everywhere.
struct Change<'a> {
    gateway: &'a Gateway,
    epoch: &'a Arc<str>,
    kept: &'a Kept,
    /// Whoever has not confirmed it by then is without a lease.
    end: Instant,
    /// How long a lease can outlast the last word of a gateway.
    outlasts: Duration,
}

impl super::Cluster {
    /// Tells every gateway what was kept in the store named `epoch` and waits until all have it in force, or those that have not
    /// said so are without a lease; false then.
    ///
    /// Whoever was heard is asked for as long as a lease can outlast its last word. After the bus was away, all have the time to
    /// announce themselves.
    pub async fn put_in_force(&self, gateway: &Gateway, epoch: &Arc<str>, kept: &Kept) -> bool {
        let lease_is_over = gateway.live().settings.revocation.lease_is_over();
        let change = Change {
            gateway,
            epoch,
            kept,
            end: Instant::now() + lease_is_over,
            outlasts: lease_is_over + ANNOUNCE_EVERY,
        };
        let unheard = self.until_others_are_known();
        let confirmed = self.ask_whoever_is_known(&change).await;
        let Some(known) = unheard else {
            return confirmed;
        };
        sleep_until(known.min(change.end)).await;
        self.ask_for_force(&change, HashSet::new()).await && confirmed
    }

    /// Asks those that this gateway has heard of and, while it is new, those that they have heard of.
    async fn ask_whoever_is_known(&self, change: &Change<'_>) -> bool {
        let Some(came_up) = self.came_up.get().copied() else {
            return self.ask_for_force(change, HashSet::new()).await;
        };
        sleep_until(came_up + INTRODUCTION).await;
        if came_up.elapsed() > change.outlasts {
            return self.ask_for_force(change, HashSet::new()).await;
        }
        let known = self.nodes.heeding_revocations(change.outlasts);
        let (confirmed, named) = tokio::join!(
            self.ask_for_force(change, HashSet::new()),
            self.ask_for_leases(change, &known)
        );
        let strangers: HashSet<_> = named.difference(&known).copied().collect();
        if strangers.is_empty() {
            return confirmed;
        }
        self.ask_for_force(change, strangers).await && confirmed
    }

    async fn ask_for_force(&self, change: &Change<'_>, strangers: HashSet<Uuid>) -> bool {
        let Change { gateway, kept, .. } = *change;
        self.nodes.hear(Announcement::of(gateway));
        let mut missing = self.nodes.heeding_revocations(change.outlasts);
        missing.extend(strangers.into_iter().filter(|&node| !self.nodes.has_left(node)));
        let tell = |question| {
            let message = Message::Revoke {
                question,
                epoch: change.epoch.to_string(),
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
        self.in_force
            .ask_within(change.left(), missing, tell)
            .await
            .is_ok()
    }

    /// Who may have a lease, as those who are known know it.
    async fn ask_for_leases(&self, change: &Change<'_>, known: &HashSet<Uuid>) -> HashSet<Uuid> {
        let mut missing = known.clone();
        missing.remove(&self.node);
        if missing.is_empty() {
            return HashSet::new();
        }
        let ask = |survey| {
            let within = u64::try_from(change.outlasts.as_millis()).unwrap_or(u64::MAX);
            self.send(
                change.gateway,
                Recipient::All,
                Message::AskLeases { survey, within },
            )
        };
        // Whoever does not answer is waited for by the change itself.
        let asked = self.leases.ask_within(change.left(), missing, ask).await;
        asked.map(|Leases(nodes)| nodes).unwrap_or_default()
    }

    pub(super) fn tell_leases(&self, gateway: &Gateway, to: Uuid, survey: Uuid, within: Duration) {
        if to == self.node {
            return;
        }
        let nodes = self.nodes.heeding_revocations(within).into_iter().collect();
        if let Err(error) = self.send(gateway, Recipient::Node(to), Message::Leases { survey, nodes }) {
            debug!(%error, "could not say which gateways may have a lease");
        }
    }

    /// Tells a gateway that a change which it named is in force here.
    pub fn in_force(&self, gateway: &Gateway, to: Uuid, question: Uuid) {
        if let Err(error) = self.send(gateway, Recipient::Node(to), Message::Revoked { question }) {
            debug!(%error, "could not say that a revocation is in force");
        }
    }
}

impl Change<'_> {
    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}
