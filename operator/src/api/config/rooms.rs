//! Who may join and write where.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::HistoryConfig;
use crate::api::text::DurationText;

/// Policies of rooms; `namespace:name` picks the policy of its namespace.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RoomsConfig {
    /// Policy of rooms without a namespace. Left out: such rooms are refused with 102.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultRooms>,
    /// Policies of named namespaces; a namespace that is not listed is refused with 102.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<Namespace>,
}

/// Policy of rooms without a namespace.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.degraded) || self.degraded != 'local' || !has(self.history)")
    .message("degraded: local is for rooms without history"))]
#[x_kube(validation = Rule::new("!has(self.forcePushJoinLeave) || !self.forcePushJoinLeave || (has(self.joinLeave) && self.joinLeave)")
    .message("forcePushJoinLeave needs joinLeave"))]
#[x_kube(validation = Rule::new("!has(self.subscribeCel) || self.subscribe == 'token'")
    .message("subscribeCel needs subscribe: token"))]
#[x_kube(validation = Rule::new("!has(self.publishCel) || self.publish == 'token'")
    .message("publishCel needs publish: token"))]
#[x_kube(validation = Rule::new("!has(self.presenceCel) || (has(self.presence) && self.presence && has(self.presenceRead) && self.presenceRead == 'token')")
    .message("presenceCel needs presence and presenceRead: token"))]
#[x_kube(validation = Rule::new("!has(self.historyCel) || (has(self.history) && has(self.history.read) && self.history.read == 'token')")
    .message("historyCel needs history.read: token"))]
pub struct DefaultRooms {
    /// Who may join; `users` = clients with a user id, `token` = whom a token, a proxy's answer or `subscribeCel` lets,
    /// `server` = only by a server API call.
    #[serde(default)]
    pub subscribe: Joiners,
    /// Which clients may publish; `subscribers` = members of the room, `token` = whom a capability, a proxy's answer or
    /// `publishCel` lets, `server` = the server API only.
    #[serde(default)]
    pub publish: Publishers,
    /// Expression in CEL that lets clients join, such as `'admin' in meta.roles`; needs `subscribe: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub subscribe_cel: Option<String>,
    /// The same of publishing; needs `publish: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub publish_cel: Option<String>,
    /// The same of asking who is there; needs `presenceRead: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub presence_cel: Option<String>,
    /// The same of history, recovery and positioning; needs `history.read: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub history_cel: Option<String>,
    /// What ephemeral rooms do while the bus is away: `refuse` joins and publications, or go on among the members of
    /// each gateway (`local`). Default: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// What messages are: `json` = JSON texts, or any bytes (`binary`), in rooms that only clients which speak Protobuf
    /// can join. Default: `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadKind>,
    /// Whether members that ask for it are given the difference to the publication before (`fossil`). Default: `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaKind>,
    /// Whether a subscription may ask for publications with certain tags only. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags_filter: Option<bool>,
    /// How long the publications of a room are collected, to be written together, while one more comes within it on
    /// average; `0s` = never, at most `100ms`. Default: `4ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('100ms')").message("batchWindow must be at most 100ms"))]
    pub batch_window: Option<DurationText>,
    /// Publications of clients a second in one room, twice as many at once; more are refused with 111; 0 = no limit.
    /// Those of other gateways and of the server API count where the room has members. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub publication_rate: Option<u32>,
    /// Name of the proxy that is asked about joins of clients, after `subscribe` has let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub subscribe_proxy: Option<String>,
    /// Name of the proxy that is asked about subscriptions that have expired, which their clients then cannot renew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub sub_refresh_proxy: Option<String>,
    /// Name of the proxy that is asked about what clients publish, after `publish` has let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub publish_proxy: Option<String>,
    /// Whether it can be asked who is in a room (`presence`, `presence_stats`). Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<bool>,
    /// Which clients may ask; `subscribers` = members of the room, `token` = whom a capability or `presenceCel` lets.
    /// Default: `subscribers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_read: Option<Publishers>,
    /// Members of a room above which they are only counted, and nobody is told who joins and leaves. Default: `2000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20000))]
    pub presence_limit: Option<u32>,
    /// Whether members that ask for it are told who joins and leaves. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_leave: Option<bool>,
    /// Whether members that do not ask are told as well; needs `joinLeave`. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_push_join_leave: Option<bool>,
    /// Makes the rooms durable; `{}` = with every default, left out = ephemeral rooms, delivered at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryConfig>,
}

/// A named namespace and its policy.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.degraded) || self.degraded != 'local' || !has(self.history)")
    .message("degraded: local is for rooms without history"))]
#[x_kube(validation = Rule::new("!has(self.forcePushJoinLeave) || !self.forcePushJoinLeave || (has(self.joinLeave) && self.joinLeave)")
    .message("forcePushJoinLeave needs joinLeave"))]
#[x_kube(validation = Rule::new("!has(self.subscribeCel) || self.subscribe == 'token'")
    .message("subscribeCel needs subscribe: token"))]
#[x_kube(validation = Rule::new("!has(self.publishCel) || self.publish == 'token'")
    .message("publishCel needs publish: token"))]
#[x_kube(validation = Rule::new("!has(self.presenceCel) || (has(self.presence) && self.presence && has(self.presenceRead) && self.presenceRead == 'token')")
    .message("presenceCel needs presence and presenceRead: token"))]
#[x_kube(validation = Rule::new("!has(self.historyCel) || (has(self.history) && has(self.history.read) && self.history.read == 'token')")
    .message("historyCel needs history.read: token"))]
pub struct Namespace {
    /// What stands before the colon of a room's name; not `default`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    #[x_kube(validation = Rule::new("self != 'default'").message("the policy of rooms without a namespace is rooms.default"))]
    pub name: String,
    /// Who may join; `users` = clients with a user id, `token` = whom a token, a proxy's answer or `subscribeCel` lets,
    /// `server` = only by a server API call.
    #[serde(default)]
    pub subscribe: Joiners,
    /// Which clients may publish; `subscribers` = members of the room, `token` = whom a capability, a proxy's answer or
    /// `publishCel` lets, `server` = the server API only.
    #[serde(default)]
    pub publish: Publishers,
    /// Expression in CEL that lets clients join, such as `'admin' in meta.roles`; needs `subscribe: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub subscribe_cel: Option<String>,
    /// The same of publishing; needs `publish: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub publish_cel: Option<String>,
    /// The same of asking who is there; needs `presenceRead: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub presence_cel: Option<String>,
    /// The same of history, recovery and positioning; needs `history.read: token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub history_cel: Option<String>,
    /// What ephemeral rooms do while the bus is away: `refuse` joins and publications, or go on among the members of
    /// each gateway (`local`). Default: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// What messages are: `json` = JSON texts, or any bytes (`binary`), in rooms that only clients which speak Protobuf
    /// can join. Default: `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadKind>,
    /// Whether members that ask for it are given the difference to the publication before (`fossil`). Default: `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaKind>,
    /// Whether a subscription may ask for publications with certain tags only. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags_filter: Option<bool>,
    /// How long the publications of a room are collected, to be written together, while one more comes within it on
    /// average; `0s` = never, at most `100ms`. Default: `4ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('100ms')").message("batchWindow must be at most 100ms"))]
    pub batch_window: Option<DurationText>,
    /// Publications of clients a second in one room, twice as many at once; more are refused with 111; 0 = no limit.
    /// Those of other gateways and of the server API count where the room has members. Default: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub publication_rate: Option<u32>,
    /// Name of the proxy that is asked about joins of clients, after `subscribe` has let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub subscribe_proxy: Option<String>,
    /// Name of the proxy that is asked about subscriptions that have expired, which their clients then cannot renew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub sub_refresh_proxy: Option<String>,
    /// Name of the proxy that is asked about what clients publish, after `publish` has let them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub publish_proxy: Option<String>,
    /// Whether it can be asked who is in a room (`presence`, `presence_stats`). Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<bool>,
    /// Which clients may ask; `subscribers` = members of the room, `token` = whom a capability or `presenceCel` lets.
    /// Default: `subscribers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_read: Option<Publishers>,
    /// Members of a room above which they are only counted, and nobody is told who joins and leaves. Default: `2000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20000))]
    pub presence_limit: Option<u32>,
    /// Whether members that ask for it are told who joins and leaves. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_leave: Option<bool>,
    /// Whether members that do not ask are told as well; needs `joinLeave`. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_push_join_leave: Option<bool>,
    /// Makes the rooms durable; `{}` = with every default, left out = ephemeral rooms, delivered at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryConfig>,
}

/// Who may join a room.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Joiners {
    Anyone,
    #[default]
    Users,
    Token,
    Server,
}

/// What ephemeral rooms do while the bus is away.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Degraded {
    Refuse,
    Local,
}

/// What members of a room may be given in place of whole publications.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum DeltaKind {
    None,
    Fossil,
}

/// What the messages of a room are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PayloadKind {
    Json,
    Binary,
}

/// Which clients may publish to a room, or read its history.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Publishers {
    Anyone,
    #[default]
    Users,
    Subscribers,
    Token,
    Server,
}
