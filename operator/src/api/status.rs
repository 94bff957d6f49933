//! What the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
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
    /// Image of the gateways, resolved once.
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
    /// The servers of a managed NATS in numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<Count>,
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
