//! How many gateways, how they give way to newer ones, and how fast clients may be made to reconnect.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::DurationText;

/// Scaling on what the gateways carry. `gateways.replicas` means nothing then, and the operator writes no spec: the number is
/// in the status.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("scaling.minReplicas must not exceed scaling.maxReplicas")
)]
#[x_kube(
    validation = Rule::new("duration(self.scaleDownWindow) <= duration('24h')")
        .message("scaling.scaleDownWindow must be at most 24h")
)]
#[x_kube(
    validation = Rule::new("duration(self.scaleDownWindow) > duration('0s')")
        .message("scaling.scaleDownWindow must be above 0s")
)]
pub struct Scaling {
    /// Fewest gateways.
    #[serde(default = "default_min")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Most gateways.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Connections that a gateway shall carry at most.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_per_gateway: i32,
    /// CPU and memory that a gateway shall use at most. Left out: only connections count.
    #[serde(default)]
    pub ceilings: ScalingCeilings,
    /// How long fewer gateways must have been enough before one goes.
    #[serde(default = "default_window")]
    pub scale_down_window: DurationText,
}

/// CPU and memory that a gateway shall use at most.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingCeilings {
    /// CPU, such as `1500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory, such as `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

fn default_min() -> i32 {
    2
}

fn default_connections() -> i32 {
    10_000
}

fn default_window() -> DurationText {
    DurationText("5m".to_owned())
}

/// How gateways of a former revision give way to newer ones.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.readyTimeout) >= duration('10s') && duration(self.readyTimeout) <= duration('24h')")
        .message("rollout.readyTimeout must be between 10s and 24h")
)]
pub struct Rollout {
    /// Gateways that there may be beyond the wanted number in a roll. Left out: as many as it takes for every new gateway to be
    /// ready before the first old one goes, which is twice the number, and which is what keeps a client from being cut more
    /// than once in a roll. Any number gives up that promise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_surge: Option<i32>,
    /// Time in which a new revision must have become ready; then the roll is stalled.
    #[serde(default = "default_ready_timeout")]
    pub ready_timeout: DurationText,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: None,
            ready_timeout: default_ready_timeout(),
        }
    }
}

fn default_ready_timeout() -> DurationText {
    DurationText("5m".to_owned())
}

/// Connections that are closed so that they spread over gateways that came later.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Whether that is done.
    #[serde(default = "default_enabled")]
    pub enabled: bool,
    /// Percent above the mean from which a gateway has too many.
    #[serde(default = "default_skew")]
    #[schemars(range(min = 5, max = 1000))]
    pub skew_percent: i32,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self {
            enabled: default_enabled(),
            skew_percent: default_skew(),
        }
    }
}

fn default_enabled() -> bool {
    true
}

fn default_skew() -> i32 {
    30
}

/// Connections a second that may be closed.
pub(super) fn default_reconnects() -> i32 {
    50
}
