//! What the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator reports. `Ready` among the conditions sums it up.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ChatClusterStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Image of the gateways: the last that every one of them ran, at first the one that was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Revision that gateways are rolled to: what of a gateway only a restart can change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Gateways that exist, of all revisions, for `kubectl scale`.
    #[serde(default)]
    pub replicas: i32,
    /// Selects the gateways, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The gateways in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Count>,
    /// How many gateways there shall be, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// The servers of a managed NATS in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<Count>,
}

/// How many gateways there shall be, and why. Numbers of connections have two digits, so that a status is not written for
/// each client.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStatus {
    /// Gateways that shall be.
    pub desired: i32,
    /// Gateways that take newcomers.
    pub serving: i32,
    /// Gateways that take no newcomers, of any revision, and are drained or wait for it.
    pub draining: i32,
    /// Connections of all gateways that said how many they have.
    pub connections: i64,
    /// Connections that the limit of open files allows on the gateway that can have the fewest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
    /// The last decision on the number, and why.
    pub decision: String,
    /// Why the number is not decided on now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Since when a lower number has been enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_since: Option<Time>,
    /// The highest number that was needed since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_to: Option<i32>,
    /// In a roll: gateways that it waits for. What is added meanwhile does not stop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll_size: Option<i32>,
    /// The last time that connections were spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_shed: Option<ShedStatus>,
}

/// A shed: connections of the fullest gateway that were closed so that they come to others.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShedStatus {
    /// Nothing is shed before.
    pub pause_until: Time,
    /// Percent above the mean that the gateway had.
    pub skew_percent: i64,
    /// Gateways that there were.
    pub gateways: i32,
    /// Sheds in a row that had no effect; after two no more follow.
    pub in_vain: i32,
}

/// Pods in numbers.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Pods that shall be.
    pub desired: i32,
    /// Pods of the current revision that are ready.
    pub ready: i32,
    /// Both, for people: `2/3`.
    pub summary: String,
}

impl Count {
    pub fn new(desired: i32, ready: i32) -> Self {
        let summary = format!("{ready}/{desired}");
        Self {
            desired,
            ready,
            summary,
        }
    }
}
