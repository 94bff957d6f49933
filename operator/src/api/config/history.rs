//! What durable rooms keep, and where.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rooms::Publishers;
use crate::api::text::{DurationText, SizeText};

/// Makes rooms durable: publications are answered when they are stored. `{}` has every default.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.idempotencyWindow) || duration(self.idempotencyWindow) <= duration(has(self.ttl) ? self.ttl : '5m')")
    .message("idempotencyWindow must be at most ttl (default 5m)"))]
pub struct HistoryConfig {
    /// Publications kept per room, at most 1000000. Default: `100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub size: Option<u32>,
    /// Age at which a publication is forgotten, 1s to 10years. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
    /// Which clients may ask for history, recovery and positioning; `subscribers` = members of the room,
    /// `token` = whom a capability or `historyCel` lets, `server` = the server API only. Default: `subscribers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Publishers>,
    /// Whether every client that comes back gets what it missed, asked for or not. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_recovery: Option<bool>,
    /// Whether every client's position is watched and a loss told, asked for or not. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_positioning: Option<bool>,
    /// What a client that comes back gets: `stream` = everything it missed, `cache` = the latest
    /// publication. Default: `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_mode: Option<RecoveryMode>,
    /// How long an idempotency key is remembered, 1s to 1day and at most `ttl`; not written: 5m, or `ttl`
    /// if that is shorter. A key takes up to 195 bytes of the server's memory. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_window: Option<DurationText>,
    /// The streams of the namespace at NATS, one for each partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamConfig>,
}

/// The streams of a namespace at NATS.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.discard) || self.discard == 'old' || has(self.maxBytes)")
    .message("discard: new means something only together with maxBytes"))]
pub struct StreamConfig {
    /// Whether the gateway makes and changes the streams at NATS; false = an administrator does, and they
    /// are only checked. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Streams that the rooms are spread over, fixed when they are made; null = 1 on a single NATS
    /// server, 4 on a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub partitions: Option<u8>,
    /// NATS servers that hold each partition; 3 outlive the loss of one, 5 of two. Default: `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]").message("replicas must be 1, 3 or 5"))]
    pub replicas: Option<u8>,
    /// Where a partition is kept; `memory` is gone when all its servers are down at once. Default:
    /// `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Bytes that one partition may hold, 1MiB to 1024TiB; null = no limit but the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<SizeText>,
    /// What gives way at `max_bytes`: `old` = the partition's oldest publications, `new` = new ones,
    /// which are refused. Default: `old`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard: Option<Discard>,
}

/// What a client that comes back gets.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryMode {
    Stream,
    Cache,
}

/// Where a partition is kept.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    File,
    Memory,
}

/// What gives way when a partition is full.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    Old,
    New,
}
