//! The custom resource: `ChatCluster` of the group `natter.dev`, version `v1alpha1`.
//!
//! Comments of fields are user documentation: they end up in the schema and in `kubectl explain`. Defaults of the
//! operator's own fields are in the schema, those of the gateway's settings stay in the gateway.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type inside a function, with its visibility"
)]

pub mod bus;
pub mod config;
pub mod exposure;
pub mod gateways;
pub mod monitoring;
pub mod reference;
pub mod scaling;
pub mod status;
pub mod text;

use k8s_openapi::api::core::v1::LocalObjectReference;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    bus::Bus,
    exposure::Exposure,
    gateways::Gateways,
    monitoring::Monitoring,
    monitoring::Tracing,
    scaling::{Rebalance, Rollout, Scaling},
    status::ChatClusterStatus,
};

/// A cluster of chat gateways, with its bus and everything around it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "natter.dev",
    version = "v1alpha1",
    kind = "ChatCluster",
    doc = "A cluster of chat gateways, with its bus and everything around it.",
    namespaced,
    shortname = "chat",
    category = "natter",
    derive = "PartialEq",
    status = "ChatClusterStatus",
    cel,
    scale(
        spec_replicas_path = ".spec.gateways.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Gateways",
        type_ = "string",
        json_path = ".status.gateways.summary",
        description = "Ready of desired gateways"
    ),
    printcolumn(
        name = "NATS",
        type_ = "string",
        json_path = ".status.nats.summary",
        description = "Ready of desired servers of a managed NATS"
    ),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63")
        .message("the name must be a DNS label: at most 63 lower case letters, digits or -, a letter first, no dots")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.bus.managed) || !has(self.gateways.config.rooms) || !has(self.gateways.config.rooms.namespaces) || \
         self.gateways.config.rooms.namespaces.all(room, !has(room.history) || !has(room.history.stream) || \
         !has(room.history.stream.replicas) || room.history.stream.replicas <= self.bus.managed.replicas)"
    )
    .message("stream.replicas must not exceed bus.managed.replicas")
)]
#[x_kube(
    validation = Rule::new(
        "!has(self.bus.managed) || !has(self.gateways.config.rooms) || !has(self.gateways.config.rooms.default) || \
         !has(self.gateways.config.rooms.default.history) || !has(self.gateways.config.rooms.default.history.stream) || \
         !has(self.gateways.config.rooms.default.history.stream.replicas) || \
         self.gateways.config.rooms.default.history.stream.replicas <= self.bus.managed.replicas"
    )
    .message("stream.replicas must not exceed bus.managed.replicas")
)]
pub struct ChatClusterSpec {
    /// Image of the gateways. Left out: the one of `status.image`, at first the operator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When a new operator rolls the gateways to its own version: `Pinned` = never, a condition offers the newer image;
    /// `FollowOperator` = at once. Means nothing while `image` is set.
    #[serde(default)]
    pub image_policy: ImagePolicy,
    /// When the kubelet pulls images.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets with credentials for the image registry, in the cluster's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The gateways: how many, how large, and their settings.
    pub gateways: Gateways,
    /// Scaling on what the gateways carry, between a smallest and a largest number. Left out: `gateways.replicas` is the
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// How gateways give way to those of a newer revision.
    #[serde(default)]
    pub rollout: Rollout,
    /// Connections that are closed so that they spread over gateways that came later.
    #[serde(default)]
    pub rebalance: Rebalance,
    /// Connections that the operator has closed a second at most, in rolls, when gateways go, and to spread them: the rate at which
    /// clients may come back.
    #[serde(default = "scaling::default_reconnects")]
    #[schemars(range(min = 1, max = 100_000))]
    pub reconnects_per_second: i32,
    /// The bus between the gateways: a NATS that the operator runs, or one that is there already.
    #[serde(default)]
    pub bus: Bus,
    /// How clients reach the gateways.
    #[serde(default)]
    pub exposure: Exposure,
    /// Objects for Prometheus.
    #[serde(default)]
    pub monitoring: Monitoring,
    /// Traces of every gateway by OTLP. Left out: tracing is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// What becomes of stored messages when the `ChatCluster` is deleted: `Retain` = the volumes of a managed NATS and the
    /// streams on an external one stay, and a cluster of the same name finds them again; `Delete` = nothing is left. Streams on an
    /// external NATS are then deleted by a Job, once the gateways have ended; after 5 minutes without success the operator gives
    /// up and an event names them.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// When a new operator rolls the gateways to its own version.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePolicy {
    #[default]
    Pinned,
    FollowOperator,
}

/// When the kubelet pulls an image.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// What becomes of stored messages.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}
