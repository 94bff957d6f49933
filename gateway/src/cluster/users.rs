//! The question how many connections a user has at other gateways.
//!
//! It is asked only about users who have as many at this one as would be its share of the limit, so hardly ever: connections
//! spread over gateways, and most users have a few. What that lets through beyond the limit is in `docs/limits.md`.

use std::collections::HashSet;

use tracing::debug;
use uuid::Uuid;

use super::{
    Cluster, Message, Recipient,
    survey::{Collected, SurveyError},
};
use crate::gateway::Gateway;

/// How many connections there are at those that have answered.
#[derive(Default)]
pub(super) struct Elsewhere(u64);

impl Collected for Elsewhere {
    type Part = u64;

    fn add(&mut self, part: u64) {
        self.0 += part;
    }
}

impl Cluster {
    /// Whether a user with so many connections here may have one more. Who cannot be asked does not count.
    pub async fn admits_one_more(&self, gateway: &Gateway, user: &str, limit: u32) -> bool {
        let here = u64::from(gateway.clients.of(user));
        let (here, limit) = (here, u64::from(limit));
        let others = self.counting_users();
        let share = limit.div_ceil(others.len() as u64 + 1);
        if here < share || others.is_empty() {
            return here < limit;
        }
        if here >= limit {
            return false;
        }
        match self.connections_at(gateway, others, user).await {
            Ok(elsewhere) => here + elsewhere < limit,
            Err(error) => {
                debug!(%error, "could not count the connections of a user");
                true
            }
        }
    }

    /// The other gateways that answer such questions.
    fn counting_users(&self) -> HashSet<Uuid> {
        let mut nodes = self.nodes.counting_users();
        nodes.remove(&self.node);
        nodes
    }

    async fn connections_at(
        &self,
        gateway: &Gateway,
        nodes: HashSet<Uuid>,
        user: &str,
    ) -> Result<u64, SurveyError> {
        let ask = |survey| {
            nodes.iter().try_for_each(|node| {
                let user = user.to_owned();
                self.send(
                    gateway,
                    Recipient::Node(*node),
                    Message::CountUser { survey, user },
                )
            })
        };
        let counted = self.user_counts.ask(nodes.clone(), ask).await?;
        Ok(counted.0)
    }
}

/// Answers another gateway's question.
pub(super) fn answer(gateway: &Gateway, to: Uuid, survey: Uuid, user: &str) {
    let connections = u64::from(gateway.clients.of(user));
    let message = Message::UserCount { survey, connections };
    if let Err(error) = gateway.cluster.send(gateway, Recipient::Node(to), message) {
        debug!(%error, "could not answer how many connections a user has");
    }
}
