//! What is not good any more, and how long a gateway goes on without news of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::units::duration;

/// Longest lease: who revokes something may have to wait for it.
pub const MAX_LEASE: Duration = Duration::from_mins(1);
/// Beyond a lease, for clocks that run differently.
pub const LEASE_MARGIN: Duration = Duration::from_millis(500);

/// The same for all gateways of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RevocationSettings {
    /// Without news of what is revoked, rooms with access rules wait after this.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// Rules that there may be at once.
    pub max_rules: usize,
}

impl RevocationSettings {
    /// After which a gateway that has heard nothing of what is revoked is surely without a lease.
    pub fn lease_is_over(&self) -> Duration {
        self.lease + LEASE_MARGIN
    }
}

impl Default for RevocationSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            max_rules: 100_000,
        }
    }
}
