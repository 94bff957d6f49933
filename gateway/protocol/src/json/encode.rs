//! From replies and pushes to one line of JSON each, appended to a buffer, without a newline.

use super::object::Object;
use crate::{
    encode,
    push::{ClientInfo, Publication, Push},
    reply::{Reply, SubscribeResult},
};

/// Appends `reply` to `out`.
pub fn encode_reply(reply: &Reply<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| encode::reply(object, reply));
}

/// Appends `push` to `out`, as it goes to clients that send commands.
pub fn encode_push(push: &Push<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| encode::push_reply(object, push));
}

/// Appends `push` to `out`, as it goes to clients that only listen: without the reply around it.
pub fn encode_uni_push(push: &Push<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| encode::push(object, push));
}

/// Appends `result` to `out`: what stands in [`ConnectResult::subs`](crate::ConnectResult).
pub fn encode_subscription(result: &SubscribeResult<'_>, out: &mut Vec<u8>) {
    Object::write_fields(out, |object| encode::subscribe(object, result));
}

/// Appends `publication` to `out`, as it stands in replies and pushes.
pub fn encode_publication(publication: &Publication<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| encode::publication(object, publication));
}

/// Appends `info` to `out`: what stands in [`Publication::info`].
pub fn encode_client_info(info: &ClientInfo<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| encode::client_info(object, info));
}

#[cfg(test)]
mod tests;
