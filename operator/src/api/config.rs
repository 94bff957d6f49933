//! The gateways' own settings, key by key as in `docs/configuration.md`, in the spelling of Kubernetes.
//!
//! Left out are the keys that the operator decides: addresses and names (`listen`, `ops_listen`, `node_name`, `bus.prefix`),
//! the connection to NATS (`spec.bus`), tracing (`spec.tracing`), `drain.deadline`, which follows from the drain, and
//! `log.format`. What is not written keeps the gateway's default. A test compares both sides.

mod client;
mod history;
mod proxies;
mod revocation;
mod rooms;
mod server;
mod tokens;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    client::{Anonymous, ClientConfig},
    history::{Discard, HistoryConfig, RecoveryMode, Storage, StreamConfig},
    proxies::Proxy,
    revocation::RevocationConfig,
    rooms::{DefaultRooms, Degraded, Joiners, Namespace, PayloadKind, Publishers, RoomsConfig},
    server::{
        ApiConfig, ApiKey, BusConfig, DrainConfig, HttpConfig, LogConfig, MetricsConfig, NatsClientConfig,
        PageConfig,
    },
    tokens::{Issuer, Signs},
};

/// Settings of every gateway of the cluster. Most of them change without a restart.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.client.userIdHeader) || has(self.client.connectProxy) || (has(self.client.anonymous) && self.client.anonymous == 'allow') || (has(self.tokens) && self.tokens.exists(issuer, !has(issuer.signs) || issuer.signs != 'subscriptions'))")
    .message("say who the clients are: set tokens for clients that bring one, client.userIdHeader behind an authenticating proxy, client.connectProxy for a backend that knows them, or client.anonymous: allow to let everybody in"))]
#[x_kube(validation = Rule::new("duration(has(self.http) && has(self.http.requestTimeout) ? self.http.requestTimeout : '10s') > duration(has(self.revocation) && has(self.revocation.lease) ? self.revocation.lease : '5s') + duration('500ms')")
    .message("http.requestTimeout (default 10s) must be longer than revocation.lease (default 5s) and half a second: calls that revoke may have to wait so long"))]
pub struct GatewayConfig {
    /// Worker threads of a gateway, at most 64; 0 = one per core. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub workers: Option<u32>,
    /// Who may connect, and what a connection may use.
    pub client: ClientConfig,
    /// Who signs the tokens of clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tokens: Vec<Issuer>,
    /// What the server API revokes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationConfig>,
    /// HTTP up to the upgrade, and requests of the server API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpConfig>,
    /// The server API; without keys it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiConfig>,
    /// The demo page at `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageConfig>,
    /// Policies of rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<RoomsConfig>,
    /// Backends that are asked about what clients do; clients and rooms name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub proxies: Vec<Proxy>,
    /// How gateways use the bus, whichever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusConfig>,
    /// How a gateway takes leave of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainConfig>,
    /// Log lines of the gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogConfig>,
    /// Metrics of the gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsConfig>,
}
