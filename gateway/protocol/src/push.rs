//! What a gateway says unasked. Zero values are left out on the wire.
//!
//! `data` is application data: any bytes for a reader of Protobuf, a JSON text on one line for a reader of JSON;
//! empty leaves it out.

use crate::reply::{ConnectResult, RefreshResult};

/// The kinds of push.
#[derive(Clone, Debug)]
pub enum Push<'a> {
    Publication {
        channel: &'a str,
        publication: &'a Publication<'a>,
    },
    /// Somebody came into the room.
    Join { channel: &'a str, info: ClientInfo<'a> },
    /// Somebody went out of the room.
    Leave { channel: &'a str, info: ClientInfo<'a> },
    /// The server took the client out of a room; codes from 2500 on ask it to subscribe again. The server API
    /// may choose code and reason, so they are not confined to [`UnsubscribeCode`](crate::UnsubscribeCode).
    Unsubscribe {
        channel: &'a str,
        code: u32,
        reason: &'a str,
    },
    /// A message to this client alone, outside of any room.
    Message { data: &'a [u8] },
    /// The server joined the client to a room.
    Subscribe {
        channel: &'a str,
        subscription: ServerSubscription<'a>,
    },
    /// The session is open: the first words on transports without commands.
    Connect(ConnectResult<'a>),
    /// The last words on transports that have no close frame.
    Disconnect {
        code: u16,
        reason: &'a str,
        reconnect: bool,
    },
    /// The server changed when the connection expires.
    Refresh(RefreshResult),
}

impl<'a> Push<'a> {
    /// The room it is about; empty when it is about the connection.
    pub fn channel(&self) -> &'a str {
        match self {
            Self::Publication { channel, .. }
            | Self::Join { channel, .. }
            | Self::Leave { channel, .. }
            | Self::Unsubscribe { channel, .. }
            | Self::Subscribe { channel, .. } => channel,
            Self::Message { .. } | Self::Connect(_) | Self::Disconnect { .. } | Self::Refresh(_) => "",
        }
    }
}

/// One message of a room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication<'a> {
    pub data: &'a [u8],
    /// Who published, an encoded [`ClientInfo`]; only when it was a client. JSON text on one line, whatever the
    /// reader speaks.
    pub info: Option<&'a str>,
    /// Place in the room's history; 0 when there is none.
    pub offset: u64,
    /// An object of strings. JSON text on one line, whatever the reader speaks.
    pub tags: Option<&'a str>,
    /// `data` is the difference to the publication before.
    pub delta: bool,
    /// Unix time in milliseconds; 0 leaves it out.
    pub time: i64,
    /// The publication's own room, when the subscription is for more than one; empty otherwise.
    pub channel: &'a str,
}

/// Who somebody is to the others in a room. An anonymous client's empty `user` is sent in JSON, not left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientInfo<'a> {
    pub user: &'a str,
    /// The connection's id.
    pub client: &'a str,
    /// JSON text on one line, the same in every room of the connection.
    pub conn_info: Option<&'a str>,
    /// JSON text on one line, for this room.
    pub chan_info: Option<&'a str>,
}

/// The state of a subscription that the server made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerSubscription<'a> {
    pub recoverable: bool,
    pub epoch: &'a str,
    pub offset: u64,
    pub positioned: bool,
    pub data: &'a [u8],
}
