//! The Centrifuge client protocol, as the official SDKs speak it.
//!
//! The types say what a client and a gateway tell each other, whatever the encoding; [`json`] and [`protobuf`] fill and
//! read the same ones. Payloads are opaque: they are checked at most once when they come in and never parsed and printed
//! again.
//!
//! | module | what is in it |
//! |---|---|
//! | [`command`] | what a client asks |
//! | [`reply`] | what answers a command |
//! | [`push`] | what a gateway says unasked |
//! | [`emulation`] | what a client asks whose connection only brings |
//! | [`codes`] | the closed sets of error, unsubscribe and disconnect codes |
//! | [`channel`] | the names of rooms |
//! | [`filter`] | which publications a subscription wants, by their tags |
//! | [`payload`] | application data as it came |
//! | [`delta`] | what changed from one publication to the next |
//! | [`json`] | the JSON encoding |
//! | [`protobuf`] | the Protobuf encoding |
//!
//! Source: `definitions/client.proto` of <https://github.com/centrifugal/protocol>.

pub mod channel;
pub mod codes;
pub mod command;
mod decode;
pub mod delta;
pub mod emulation;
mod encode;
pub mod filter;
pub mod json;
pub mod payload;
pub mod protobuf;
pub mod push;
pub mod reply;

pub use channel::ChannelError;
pub use codes::{DisconnectCode, ErrorCode, UnsubscribeCode};
pub use command::{
    ChannelRequest, Command, ConnectRequest, HistoryRequest, PublishRequest, RefreshRequest, Request,
    RpcRequest, SendRequest, StreamPosition, SubRefreshRequest, SubscribeRequest, UnsubscribeRequest,
};
pub use decode::DecodeError;
pub use emulation::EmulationRequest;
pub use filter::{Filter, FilterError, FilterNode};
pub use payload::Payload;
pub use push::{ClientInfo, Publication, Push, ServerSubscription};
pub use reply::{
    ConnectResult, HistoryResult, PresenceStats, RefreshResult, Reply, ReplyBody, SubscribeResult,
};
