//! What is revoked, and gateways without news of it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::text::DurationText;

/// What the server API revokes.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RevocationConfig {
    /// How long a gateway goes on without news of what is revoked, 2s to 1m; then rooms with access rules wait until it has
    /// caught up. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('2s') && duration(self) <= duration('1m')").message("lease must be 2s to 1m"))]
    pub lease: Option<DurationText>,
    /// Revocations that there may be at once. Default: `100000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_rules: Option<u32>,
}
