//! HTTP, the server API, the page, the bus client, the drain, logs and metrics.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::reference::SecretKey;
use crate::api::text::{DurationText, SizeText};

/// HTTP up to the upgrade, and requests of the server API.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.proxyProtocol) || !self.proxyProtocol || has(self.trustedProxies)")
    .message("proxyProtocol needs trustedProxies, the networks of those who send it"))]
pub struct HttpConfig {
    /// Web pages that may connect: `*` = all, `scheme://host[:port]` where the host may start with `*.`;
    /// empty = the gateway's own origin only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 255)))]
    pub allowed_origins: Vec<String>,
    /// Networks of the proxies in front of the gateways, such as `10.0.0.0/8`: what they say of whom they ask for is believed, in
    /// `X-Forwarded-For` and `client.userIdHeader`, and nobody else's word; empty = the client is who connects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 64), regex(pattern = "^[0-9a-fA-F:.]+/[0-9]{1,3}$"))
    )]
    pub trusted_proxies: Vec<String>,
    /// Whether connections from these proxies begin with a header of the PROXY protocol that names the client. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<bool>,
    /// Time in which a request's head must have arrived. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_timeout: Option<DurationText>,
    /// Sockets at one gateway whose first request has not arrived yet, 64 to 1000000; when one more comes, the oldest of them is
    /// closed. As many beside them may wait for another request without having shown an API key, and as many may send the
    /// body of a request for a stream or of its client, which counts once for each `headerMaxSize` that has arrived. Default: `4096`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 1_000_000))]
    pub handshake_limit: Option<u32>,
    /// Largest head of a request. Default: `16KiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_max_size: Option<SizeText>,
    /// Largest body of a server API request. Default: `1MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_max_size: Option<SizeText>,
    /// Time limit of a server API call. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<DurationText>,
}

/// The server API; without `keys` it is off over HTTP.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiConfig {
    /// Secret with the keys of the server API (`X-API-Key`), separated by commas, each at least 16 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretKey>,
    /// Keys that may do less than everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub scoped_keys: Vec<ApiKey>,
    /// Calls a second with one key at one gateway, each of a batch, twice as many at once; more are refused with 111;
    /// 0 = no limit. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub rate_limit: Option<u32>,
    /// Requests a second without a valid key, from one address, that are answered with 401, twice as many at once; more
    /// are answered with 429; 0 = no limit. Default: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub wrong_key_limit: Option<u32>,
    /// Whether the server API is served over NATS too, on `<prefix>.api.<method>`: to everybody whom NATS lets publish
    /// there. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<bool>,
}

/// Keys of the server API, and what they may do.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// In logs and metrics; not `unscoped`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    #[x_kube(validation = Rule::new("self != 'unscoped'").message("unscoped is what the keys of api.keys are called"))]
    pub name: String,
    /// Secret with the keys, one a line, each at least 16 characters; any of them is good, and a change needs no restart.
    pub keys: SecretKey,
    /// Methods of the server API that they may call; empty = all. REST counts as `publish`, `history` and `history_remove`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    pub methods: Vec<String>,
    /// Namespaces whose rooms they may name, `default` for rooms without one; empty = all. Methods that name no room then have to
    /// stand in `methods`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 64)))]
    pub namespaces: Vec<String>,
}

/// The demo page at `/`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PageConfig {
    /// Whether the demo page is served at `/`. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// How gateways use the bus, whichever it is.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BusConfig {
    /// How long a room's subscription outlives its last member; 0s = not at all. Default: `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linger: Option<DurationText>,
    /// Whether a gateway without its bus is not ready and refuses new connections. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// How long a join may wait for the bus before it answers a temporary error. Default: `3s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_timeout: Option<DurationText>,
    /// Limits of the NATS client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsClientConfig>,
}

/// Limits of the NATS client.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NatsClientConfig {
    /// Time between two pings to the NATS server. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_interval: Option<DurationText>,
    /// Time limit of every other wait on NATS. Default: `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<DurationText>,
    /// Time in which a publication to a durable room must be acknowledged by its stream; a stream that
    /// loses its leader is back after about 5 seconds. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_timeout: Option<DurationText>,
    /// First joins of rooms that NATS is asked for at once; more wait their turn, up to `joinTimeout`. Default: `256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub join_concurrency: Option<u16>,
    /// Whether gateways make and change their streams at NATS. With `false` their user need not be permitted to: somebody runs
    /// `natter-gateway setup-bus` as another user, and gateways are not ready before all streams are there. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage_streams: Option<bool>,
}

/// How a gateway takes leave of its clients. The time that the pod is given to end follows from it.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.duration) || duration(self.duration) <= duration('1h')")
    .message("drain.duration must be at most 1h"))]
#[x_kube(validation = Rule::new("!has(self.accept) || duration(self.accept) <= duration('5m')")
    .message("drain.accept must be at most 5m"))]
pub struct DrainConfig {
    /// Time after SIGTERM in which new clients are still accepted, for load balancers to notice. Default:
    /// `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<DurationText>,
    /// Time over which the connections are then closed. Default: `20s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
    /// `Retry-After` of refused clients, in whole seconds. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<DurationText>,
}

/// Log lines of the gateways; always JSON, one object a line.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LogConfig {
    /// Lowest level, or a filter such as `info,natter_gateway=debug`. Default: `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub level: Option<String>,
}

/// Metrics of the gateways.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricsConfig {
    /// One message in this many is timed to the socket. Default: `16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub delivery_sample: Option<u32>,
}
