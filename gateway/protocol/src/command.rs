//! What a client asks. Field sets follow `definitions/client.proto`; an absent field has its zero value.
//!
//! The serde attributes belong to the JSON codec and spell two rules of it: `null` is the same as absent, and
//! text is borrowed unless it has escapes. Fields of newer protocol versions are ignored.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{filter::FilterNode, json::field, payload::Payload};

/// One command. `id` pairs the reply with it; only [`Request::Pong`] and [`Request::Send`] may have 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    pub id: u32,
    pub request: Request<'a>,
}

/// The kinds of command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// The empty command: the answer to a server's ping.
    Pong,
    Connect(ConnectRequest<'a>),
    Subscribe(SubscribeRequest<'a>),
    Unsubscribe(UnsubscribeRequest<'a>),
    Publish(PublishRequest<'a>),
    Presence(ChannelRequest<'a>),
    PresenceStats(ChannelRequest<'a>),
    History(HistoryRequest<'a>),
    /// A ping by the client, of the protocol's first version.
    Ping,
    /// A message that gets no reply.
    Send(SendRequest<'a>),
    Rpc(RpcRequest<'a>),
    Refresh(RefreshRequest<'a>),
    SubRefresh(SubRefreshRequest<'a>),
}

impl Request<'_> {
    /// The kind's name in the protocol, for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Pong => "pong",
            Self::Connect(_) => "connect",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Publish(_) => "publish",
            Self::Presence(_) => "presence",
            Self::PresenceStats(_) => "presence_stats",
            Self::History(_) => "history",
            Self::Ping => "ping",
            Self::Send(_) => "send",
            Self::Rpc(_) => "rpc",
            Self::Refresh(_) => "refresh",
            Self::SubRefresh(_) => "sub_refresh",
        }
    }
}

/// Opens the session; must be the first command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConnectRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub token: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::payload")]
    pub data: Option<Payload<'a>>,
    /// Positions of server-side subscriptions that the client had before.
    #[serde(borrow, deserialize_with = "field::subscriptions")]
    pub subs: BTreeMap<Cow<'a, str>, SubscribeRequest<'a>>,
    /// The SDK, not the user: "js", "go", ...
    #[serde(borrow, deserialize_with = "field::text")]
    pub name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    pub version: Cow<'a, str>,
    /// Stand-ins for HTTP headers that a browser cannot set on a WebSocket.
    #[serde(borrow, deserialize_with = "field::texts")]
    pub headers: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// Joins a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own fields")]
pub struct SubscribeRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub channel: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    pub token: Cow<'a, str>,
    /// Asks for what was missed after `offset` of `epoch`.
    #[serde(deserialize_with = "field::or_zero")]
    pub recover: bool,
    #[serde(borrow, deserialize_with = "field::text")]
    pub epoch: Cow<'a, str>,
    #[serde(deserialize_with = "field::or_zero")]
    pub offset: u64,
    #[serde(borrow, deserialize_with = "field::payload")]
    pub data: Option<Payload<'a>>,
    #[serde(deserialize_with = "field::or_zero")]
    pub positioned: bool,
    #[serde(deserialize_with = "field::or_zero")]
    pub recoverable: bool,
    #[serde(deserialize_with = "field::or_zero")]
    pub join_leave: bool,
    /// The delta encoding the client can undo, or nothing.
    #[serde(borrow, deserialize_with = "field::text")]
    pub delta: Cow<'a, str>,
    /// The filter on publication tags, not yet judged.
    #[serde(borrow, deserialize_with = "field::filter")]
    pub tf: Option<FilterNode<'a>>,
    /// Bit set of subscription features.
    #[serde(deserialize_with = "field::or_zero")]
    pub flag: i64,
}

impl SubscribeRequest<'_> {
    /// Bit of `flag`: refuse the subscription when it cannot be recovered.
    const REJECT_UNRECOVERED: i64 = 2;

    /// Whether the client wants error 112 rather than a subscription that did not recover. The SDKs ask for it when the
    /// application loads its state by itself (`getState`).
    pub fn rejects_unrecovered(&self) -> bool {
        self.flag & Self::REJECT_UNRECOVERED != 0
    }
}

/// Leaves a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UnsubscribeRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub channel: Cow<'a, str>,
}

/// Says something in a room. `data` is absent only when the client left it out: a `null` is a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PublishRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub channel: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::payload")]
    pub data: Option<Payload<'a>>,
    /// Not of the Centrifuge protocol: the client's own id of the message, by which a repeat is known in a durable room.
    #[serde(borrow, deserialize_with = "field::text")]
    pub idempotency_key: Cow<'a, str>,
}

/// Asks about one room: presence and its statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ChannelRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub channel: Cow<'a, str>,
}

/// Reads what was said in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HistoryRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub channel: Cow<'a, str>,
    /// 0 asks for the position alone, a negative number for as much as the server gives.
    #[serde(deserialize_with = "field::or_zero")]
    pub limit: i32,
    #[serde(borrow, deserialize_with = "field::object")]
    pub since: Option<StreamPosition<'a>>,
    #[serde(deserialize_with = "field::or_zero")]
    pub reverse: bool,
}

/// A place in a room's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StreamPosition<'a> {
    #[serde(deserialize_with = "field::or_zero")]
    pub offset: u64,
    #[serde(borrow, deserialize_with = "field::text")]
    pub epoch: Cow<'a, str>,
}

/// A message to the backend without a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SendRequest<'a> {
    #[serde(borrow, deserialize_with = "field::payload")]
    pub data: Option<Payload<'a>>,
}

/// A call to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RpcRequest<'a> {
    #[serde(borrow, deserialize_with = "field::payload")]
    pub data: Option<Payload<'a>>,
    #[serde(borrow, deserialize_with = "field::text")]
    pub method: Cow<'a, str>,
}

/// Brings a new connection token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RefreshRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub token: Cow<'a, str>,
}

/// Brings a new subscription token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubRefreshRequest<'a> {
    #[serde(borrow, deserialize_with = "field::text")]
    pub channel: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "field::text")]
    pub token: Cow<'a, str>,
}
