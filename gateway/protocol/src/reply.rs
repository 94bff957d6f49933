//! What answers a command. Zero values are left out on the wire.
//!
//! `data` is application data: any bytes for a reader of Protobuf, a JSON text on one line for a reader of JSON;
//! empty leaves it out.

use crate::{
    codes::ErrorCode,
    push::{ClientInfo, Publication},
};

/// The answer to the command with the same `id`.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    pub id: u32,
    pub body: ReplyBody<'a>,
}

/// The kinds of answer.
#[derive(Clone, Debug)]
pub enum ReplyBody<'a> {
    Error(ErrorCode),
    /// The same with words of its own.
    Refused(ErrorCode, &'a str),
    /// An error of the application's own.
    Foreign {
        code: u32,
        message: &'a str,
        temporary: bool,
    },
    Connect(ConnectResult<'a>),
    Subscribe(SubscribeResult<'a>),
    Unsubscribe,
    Publish,
    /// Who is in the room, each connection once.
    Presence(&'a [ClientInfo<'a>]),
    PresenceStats(PresenceStats),
    History(HistoryResult<'a>),
    /// What the backend answered: `data`.
    Rpc(&'a [u8]),
    Refresh(RefreshResult),
    SubRefresh(RefreshResult),
}

/// The session is open.
#[derive(Clone, Debug, Default)]
pub struct ConnectResult<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The server's version.
    pub version: &'a str,
    pub expires: bool,
    /// Seconds until the connection expires.
    pub ttl: u32,
    pub data: &'a [u8],
    /// Server-side subscriptions, each room once, with its [`SubscribeResult`] as the `encode_subscription` of the reply's
    /// encoding writes it: the rooms are joined one after another, and what one of them brings is not kept twice.
    pub subs: &'a [(&'a str, &'a [u8])],
    /// Seconds between two pings of the server.
    pub ping: u32,
    /// Whether the server wants an answer to its pings.
    pub pong: bool,
    pub session: &'a str,
    pub node: &'a str,
}

/// The client is in the room.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own fields")]
pub struct SubscribeResult<'a> {
    pub expires: bool,
    /// Seconds until the subscription expires.
    pub ttl: u32,
    pub recoverable: bool,
    pub epoch: &'a str,
    /// What the client had missed, oldest first.
    pub publications: &'a [Publication<'a>],
    pub recovered: bool,
    pub offset: u64,
    pub positioned: bool,
    pub data: &'a [u8],
    pub was_recovering: bool,
    /// Publications come as deltas, as the client asked for.
    pub delta: bool,
}

/// How many are in a room. Its fields are there also when they are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    pub num_clients: u32,
    /// Those with the same user counted once.
    pub num_users: u32,
}

/// A page of a room's history. Its fields are there also when they are zero.
#[derive(Clone, Debug, Default)]
pub struct HistoryResult<'a> {
    pub publications: &'a [Publication<'a>],
    pub epoch: &'a str,
    /// Of the room's newest publication.
    pub offset: u64,
}

/// A token was accepted: until when the connection or the subscription is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshResult {
    pub expires: bool,
    /// Seconds until it expires.
    pub ttl: u32,
}
