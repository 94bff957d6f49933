//! The Protobuf encoding: commands, replies and pushes one after another, each behind its length as a varint.
//!
//! Written by hand on the primitives of `prost`: what is read borrows from the frame, what is written goes straight into
//! a buffer, and nothing has to be generated. The rules that span a command's fields are those of [`crate::json`]; a
//! field that is there twice follows the rules of Protobuf (the last value counts, messages are merged), and a number
//! that does not fit is refused instead of cut. Unknown fields are skipped.

mod decode;
mod encode;
mod filter;
mod message;
mod reader;
mod requests;
mod texts;

pub(crate) use decode::decode_emulation;
pub use decode::{Commands, decode};
pub use encode::{encode_push, encode_reply, encode_subscription};

/// The server's ping: the empty reply.
pub const PING: &[u8] = &[0];
