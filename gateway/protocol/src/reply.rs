//! What answers a command. Zero values are left out on the wire.

use crate::{codes::ErrorCode, push::Publication};

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
    Connect(ConnectResult<'a>),
    Subscribe(SubscribeResult<'a>),
    Unsubscribe,
    Publish,
    History(HistoryResult<'a>),
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
    /// JSON text on one line.
    pub data: Option<&'a str>,
    /// Server-side subscriptions, each room once.
    pub subs: &'a [(&'a str, SubscribeResult<'a>)],
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
    /// JSON text on one line.
    pub data: Option<&'a str>,
    pub was_recovering: bool,
}

/// A page of a room's history. Its fields are there also when they are zero.
#[derive(Clone, Debug, Default)]
pub struct HistoryResult<'a> {
    pub publications: &'a [Publication<'a>],
    pub epoch: &'a str,
    /// Of the room's newest publication.
    pub offset: u64,
}
