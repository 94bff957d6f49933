//! Connections of clients.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::text::{DurationText, SizeText};

/// Who may connect, and what a connection may use.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.pingInterval) || duration(self.pingInterval) >= duration('1s')")
    .message("pingInterval must be at least 1s"))]
#[x_kube(validation = Rule::new("duration(has(self.pongTimeout) ? self.pongTimeout : '8s') < duration(has(self.pingInterval) ? self.pingInterval : '25s')")
    .message("pongTimeout (default 8s) must be shorter than pingInterval (default 25s)"))]
pub struct ClientConfig {
    /// Whether clients without a user id may connect: `allow` or `deny`. Something has to say who they are: `allow`, `userIdHeader`,
    /// `connectProxy` or `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<Anonymous>,
    /// Request header in which an authenticating proxy passes the user id. Trusted as it is: the proxy
    /// must remove it from what clients send, and must be the only way to the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub user_id_header: Option<String>,
    /// Time between two pings to a client, in whole seconds. Default: `25s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_interval: Option<DurationText>,
    /// Time after a ping in which a client must answer; shorter than `client.pingInterval`. Default:
    /// `8s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pong_timeout: Option<DurationText>,
    /// Time from the upgrade in which a client must send its connect command. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_timeout: Option<DurationText>,
    /// Largest message from a client; a larger one closes the connection with 1009. Default: `64KiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_size_limit: Option<SizeText>,
    /// Bytes that may wait for a slow reader before it is closed with 3008. Default: `1MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_max_size: Option<SizeText>,
    /// Connections that one gateway has; more are refused with HTTP 503; 0 = as many as there are descriptors for.
    /// Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub connection_limit: Option<u32>,
    /// New connections a second at one gateway, twice as many at once; more are refused with HTTP 503; 0 = no limit.
    /// Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub connection_rate_limit: Option<u32>,
    /// Connections of one user; a further one is closed with 3504; 0 = no limit. Over several gateways it is kept
    /// approximately. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub user_connection_limit: Option<u32>,
    /// Connections of one address (IPv6: of one /64 network) at one gateway; more are refused with HTTP 429; 0 = no
    /// limit. Behind a load balancer that hides addresses, all clients have the same one. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub address_connection_limit: Option<u32>,
    /// How often clients may do things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitConfig>,
    /// Rooms one connection may be in. Default: `128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub channel_limit: Option<u32>,
    /// Longest channel name in bytes, at most 255. Default: `255`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub channel_max_length: Option<u32>,
    /// Publications that one recovery may bring, at most 10000; a client that missed more is told
    /// `recovered: false`. Default: `300`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub recovery_limit: Option<u32>,
    /// Largest page of a client's history command, in publications, at most 10000. Default: `300`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub history_limit: Option<u32>,
    /// Time for a client to answer a close before its socket is cut. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_timeout: Option<DurationText>,
    /// Time that a connection which has expired is kept, for its client to renew it; then it is closed
    /// with 3005. Default: `25s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_close_delay: Option<DurationText>,
    /// The same of a subscription, which is then ended with 2501; of one that the server made the
    /// connection is closed with 3006. Default: `25s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_sub_close_delay: Option<DurationText>,
    /// The room of every user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe_to_user_personal_channel: Option<PersonalConfig>,
    /// Compressed messages (permessage-deflate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionConfig>,
    /// Name of the proxy that is asked about every new connection; left out = nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub connect_proxy: Option<String>,
    /// Name of the proxy that is asked about connections that have expired, which their clients then cannot renew;
    /// left out = nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub refresh_proxy: Option<String>,
    /// Name of the proxy that answers calls of clients (`rpc`); left out = they are refused with 108.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub rpc_proxy: Option<String>,
}

/// How often clients may do things: numbers a second, twice as many at once; 0 = no limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitConfig {
    /// Commands a second of one connection; beyond it the connection is not read until it may say more. WebSocket
    /// pings and pongs count. Default: `2000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub commands: Option<u32>,
    /// Publications a second of one connection; more are refused with 111. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub publications: Option<u32>,
    /// Questions a second of one connection for history, presence and presence statistics; more are refused with
    /// 111. Default: `200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub reads: Option<u32>,
    /// As `commands`, of all connections of a user at one gateway. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub user_commands: Option<u32>,
    /// As `publications`, of all connections of a user at one gateway. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub user_publications: Option<u32>,
    /// As `reads`, of all connections of a user at one gateway. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub user_reads: Option<u32>,
}

/// A room that a client with a user id is in from the beginning, whatever it asks for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PersonalConfig {
    /// Whether every client with a user id is in its user's own room, `#<user>`, from the beginning.
    /// Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Namespace of these rooms, `<namespace>:#<user>`; none = rooms without a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub personal_channel_namespace: Option<String>,
}

/// When messages are compressed: it saves bytes on the network and costs processor time.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CompressionConfig {
    /// Whether clients that offer permessage-deflate may send compressed messages and get them; what
    /// was agreed with a connection stays. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How much time is given to compression: 1 = fastest, 9 = shortest. Default: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub level: Option<u32>,
    /// Smallest publication that is compressed; those beyond 128KiB never are. Default: `512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<SizeText>,
    /// Members of a room on one gateway that must take compressed messages before its publications are
    /// compressed, each once for all of them. Default: `8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_members: Option<u32>,
}

/// Whether clients without a user id may connect.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    Allow,
    Deny,
}
