//! As much of the protocol's messages as these tests say and read; the numbers are those of its definition.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Command {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    #[prost(message, optional, tag = "4")]
    connect: Option<Connect>,
    #[prost(message, optional, tag = "5")]
    subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "6")]
    unsubscribe: Option<Room>,
    #[prost(message, optional, tag = "7")]
    publish: Option<Publish>,
    #[prost(message, optional, tag = "10")]
    history: Option<History>,
    #[prost(message, optional, tag = "13")]
    rpc: Option<Call>,
}

#[derive(Clone, PartialEq, Message)]
struct Connect {
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Subscribe {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(bool, tag = "3")]
    recover: bool,
    #[prost(string, tag = "6")]
    epoch: String,
    #[prost(bytes = "vec", tag = "8")]
    data: Vec<u8>,
    #[prost(bool, tag = "10")]
    recoverable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Room {
    #[prost(string, tag = "1")]
    channel: String,
}

#[derive(Clone, PartialEq, Message)]
struct Publish {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct History {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(int32, tag = "7")]
    limit: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Call {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
    #[prost(string, tag = "2")]
    method: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reply {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) error: Option<Error>,
    #[prost(message, optional, tag = "4")]
    pub(crate) push: Option<Push>,
    #[prost(message, optional, tag = "5")]
    pub(crate) connect: Option<Connected>,
    #[prost(message, optional, tag = "6")]
    pub(crate) subscribe: Option<Subscribed>,
    #[prost(message, optional, tag = "11")]
    pub(crate) history: Option<Page>,
    #[prost(message, optional, tag = "13")]
    pub(crate) rpc: Option<Answer>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Error {
    #[prost(uint32, tag = "1")]
    pub(crate) code: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Push {
    #[prost(message, optional, tag = "4")]
    pub(crate) r#pub: Option<Publication>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Publication {
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Connected {
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Subscribed {
    #[prost(message, repeated, tag = "7")]
    pub(crate) publications: Vec<Publication>,
    #[prost(bool, tag = "8")]
    pub(crate) recovered: bool,
    #[prost(bytes = "vec", tag = "11")]
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Page {
    #[prost(message, repeated, tag = "1")]
    pub(crate) publications: Vec<Publication>,
    #[prost(string, tag = "2")]
    pub(crate) epoch: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) data: Vec<u8>,
}

impl Command {
    pub(crate) fn connect(data: &[u8]) -> Self {
        let data = data.to_vec();
        Self {
            connect: Some(Connect { data }),
            ..Self::default()
        }
    }

    pub(crate) fn subscribe(room: &str, data: &[u8]) -> Self {
        let subscribe = Subscribe {
            channel: room.to_owned(),
            data: data.to_vec(),
            ..Subscribe::default()
        };
        Self {
            subscribe: Some(subscribe),
            ..Self::default()
        }
    }

    /// Comes back to a room as one that has seen nothing of this epoch.
    pub(crate) fn recover(room: &str, epoch: &str) -> Self {
        let subscribe = Subscribe {
            channel: room.to_owned(),
            epoch: epoch.to_owned(),
            recover: true,
            recoverable: true,
            ..Subscribe::default()
        };
        Self {
            subscribe: Some(subscribe),
            ..Self::default()
        }
    }

    pub(crate) fn unsubscribe(room: &str) -> Self {
        let channel = room.to_owned();
        Self {
            unsubscribe: Some(Room { channel }),
            ..Self::default()
        }
    }

    pub(crate) fn publish(room: &str, data: &[u8]) -> Self {
        let (channel, data) = (room.to_owned(), data.to_vec());
        Self {
            publish: Some(Publish { channel, data }),
            ..Self::default()
        }
    }

    pub(crate) fn history(room: &str) -> Self {
        let (channel, limit) = (room.to_owned(), 10);
        Self {
            history: Some(History { channel, limit }),
            ..Self::default()
        }
    }

    pub(crate) fn rpc(data: &[u8]) -> Self {
        let (data, method) = (data.to_vec(), "call".to_owned());
        Self {
            rpc: Some(Call { data, method }),
            ..Self::default()
        }
    }
}

impl Reply {
    /// The code of the error; 0 when there is none.
    pub(crate) fn code(&self) -> u32 {
        self.error.as_ref().map_or(0, |error| error.code)
    }
}
