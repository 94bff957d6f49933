//! From replies and pushes to messages behind their length, appended to a buffer.

use prost::encoding::decode_varint;

use super::message::Message;
use crate::{
    encode,
    push::Push,
    reply::{Reply, SubscribeResult},
};

/// Appends the length of `reply` and `reply` to `out`.
pub fn encode_reply(reply: &Reply<'_>, out: &mut Vec<u8>) {
    Message::write(out, |message| encode::reply(message, reply));
}

/// Appends the length of `push` and `push` to `out`, as it goes to clients that send commands.
pub fn encode_push(push: &Push<'_>, out: &mut Vec<u8>) {
    Message::write(out, |message| encode::push_reply(message, push));
}

/// Appends the length of `push` and `push` to `out`, as it goes to clients that only listen: without the reply around
/// it.
pub fn encode_uni_push(push: &Push<'_>, out: &mut Vec<u8>) {
    Message::write(out, |message| encode::push(message, push));
}

/// Appends `result` to `out`: what stands in [`ConnectResult::subs`](crate::ConnectResult).
pub fn encode_subscription(result: &SubscribeResult<'_>, out: &mut Vec<u8>) {
    Message::write_fields(out, |message| encode::subscribe(message, result));
}

/// An encoded message for transports that keep messages apart by themselves: without the length before it.
pub fn without_length(encoded: &[u8]) -> &[u8] {
    let mut message = encoded;
    // A buffer of one message always begins with its length.
    decode_varint(&mut message).map_or(encoded, |_| message)
}
