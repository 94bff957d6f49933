//! A rule, or its end, by order of the server API: kept, and then in force at every gateway.

use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::rule::{Revocation, Rule};
use crate::{
    bus::{BusError, Keep, KeepError, Kept, Mark},
    clock::unix_now,
    gateway::Gateway,
};

/// How long the end of a rule is kept: a gateway that was away for longer reads everything.
pub(super) const END_KEPT: Duration = Duration::from_hours(24);

/// Why a rule is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// It may be kept and come into force all the same: the same call again does no harm.
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("there is no JetStream at NATS, which revocations are kept in")]
    Unavailable,
    #[error("there are as many revocations as revocation.max_rules permits")]
    Full,
}

impl From<KeepError> for RevokeError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Bus(error) => Self::Bus(error),
            KeepError::Unavailable => Self::Unavailable,
            KeepError::Missing => Self::Bus(BusError::Refused),
        }
    }
}

impl Gateway {
    /// Puts a rule in force until a Unix time; answers when it holds at every gateway. Bounded by the bus and a lease.
    pub async fn revoke(&self, rule: Rule, expire_at: u64) -> Result<(), RevokeError> {
        let key = rule.key();
        let most = self.live().settings.revocation.max_rules;
        {
            let index = self.revocations.index.read();
            if index.len() >= most && index.get(&key).is_none() {
                return Err(RevokeError::Full);
            }
        }
        let now = unix_now();
        let revocation = Revocation {
            rule,
            created_at: now,
            expire_at,
        };
        let life = revocation.life(now);
        self.spread(key, revocation.encode(), life).await
    }

    /// Ends a rule, if there is one; answers when no gateway goes by it any more.
    pub async fn end_revocation(&self, rule: &Rule) -> Result<(), RevokeError> {
        self.spread(rule.key(), Bytes::new(), END_KEPT).await
    }

    async fn spread(&self, key: String, value: Bytes, ttl: Duration) -> Result<(), RevokeError> {
        let bus = self.bus().ok_or(BusError::Disconnected)?;
        let keep = Keep {
            key: key.clone(),
            value: value.clone(),
            ttl,
            only_after: None,
        };
        let Mark { epoch, sequence, .. } = bus.keep(keep).await?;
        let kept = Kept {
            sequence,
            time: 0,
            key,
            value,
        };
        if !self.cluster.put_in_force(self, &epoch, &kept).await {
            // Whoever did not say so knows it by now, or is without a lease.
            warn!("not every gateway has confirmed a revocation; its lease was waited for");
        }
        Ok(())
    }
}
