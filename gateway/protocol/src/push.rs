//! What a gateway says unasked. Zero values are left out on the wire.

/// The kinds of push.
#[derive(Clone, Debug)]
pub enum Push<'a> {
    Publication {
        channel: &'a str,
        publication: &'a Publication<'a>,
    },
    /// The server joined the client to a room.
    Subscribe {
        channel: &'a str,
        subscription: ServerSubscription<'a>,
    },
    /// The server took the client out of a room; codes from 2500 on ask it to subscribe again. The server API
    /// may choose code and reason, so they are not confined to [`UnsubscribeCode`](crate::UnsubscribeCode).
    Unsubscribe {
        channel: &'a str,
        code: u32,
        reason: &'a str,
    },
    /// The last words on transports that have no close frame.
    Disconnect {
        code: u16,
        reason: &'a str,
        reconnect: bool,
    },
}

/// One message of a room. The texts are JSON on one line.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    pub data: &'a str,
    /// Who published, an encoded [`ClientInfo`]; only when it was a client.
    pub info: Option<&'a str>,
    /// Place in the room's history; 0 when there is none.
    pub offset: u64,
    /// An object of strings.
    pub tags: Option<&'a str>,
    /// Unix time in milliseconds; 0 leaves it out.
    pub time: i64,
}

/// Who somebody is to the others in a room. An anonymous client's empty `user` is sent, not left out.
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
    /// JSON text on one line.
    pub data: Option<&'a str>,
}
