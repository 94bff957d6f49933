//! The JSON encoding: one command, reply or push a line.
//!
//! Stricter than centrifuge where laxness only hides a client's mistake: a command that asks two things, or asks
//! something without an id, is refused instead of half heard. Lenient where the protocol grows: unknown fields
//! are ignored, and `null` is the same as an absent field (except in payloads, where it is a value).

mod decode;
mod encode;
pub(crate) mod field;
mod object;

pub use decode::{Commands, decode, decode_connect};
pub use encode::{
    encode_client_info, encode_publication, encode_push, encode_reply, encode_subscription, encode_uni_push,
};

/// The server's ping: the empty reply, and the empty push to clients that only listen.
pub const PING: &[u8] = b"{}";
