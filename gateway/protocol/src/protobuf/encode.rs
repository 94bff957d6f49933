//! From replies and pushes to messages behind their length, appended to a buffer.

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

/// Appends `result` to `out`: what stands in [`ConnectResult::subs`](crate::ConnectResult).
pub fn encode_subscription(result: &SubscribeResult<'_>, out: &mut Vec<u8>) {
    Message::write_fields(out, |message| encode::subscribe(message, result));
}
