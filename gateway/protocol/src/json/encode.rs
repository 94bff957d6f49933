//! From replies and pushes to one line of JSON each, appended to a buffer, without a newline. Field order and
//! omissions are those of the centrifuge library.

use super::object::Object;
use crate::{
    codes::ErrorCode,
    push::{ClientInfo, Publication, Push, ServerSubscription},
    reply::{ConnectResult, HistoryResult, Reply, ReplyBody, SubscribeResult},
};

/// Appends `reply` to `out`.
pub fn encode_reply(reply: &Reply<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| {
        object.number("id", reply.id);
        match &reply.body {
            ReplyBody::Error(code) => object.object("error", |object| error(object, *code)),
            ReplyBody::Connect(result) => object.object("connect", |object| connect(object, result)),
            ReplyBody::Subscribe(result) => object.object("subscribe", |object| subscribe(object, result)),
            ReplyBody::Unsubscribe => object.object("unsubscribe", |_| {}),
            ReplyBody::Publish => object.object("publish", |_| {}),
            ReplyBody::History(result) => object.object("history", |object| history(object, result)),
        }
    });
}

/// Appends `push` to `out`.
pub fn encode_push(push: &Push<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| {
        object.object("push", |object| push_fields(object, push));
    });
}

/// Appends `publication` to `out`, as it stands in replies and pushes.
pub fn encode_publication(message: &Publication<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| publication(object, message));
}

/// Appends `info` to `out`: what stands in [`Publication::info`].
pub fn encode_client_info(info: &ClientInfo<'_>, out: &mut Vec<u8>) {
    Object::write(out, |object| {
        object.text_always("user", info.user);
        object.text_always("client", info.client);
        object.raw("conn_info", info.conn_info);
        object.raw("chan_info", info.chan_info);
    });
}

fn error(object: &mut Object<'_>, code: ErrorCode) {
    object.number("code", code.code());
    object.text("message", code.message());
    object.flag("temporary", code.temporary());
}

fn connect(object: &mut Object<'_>, result: &ConnectResult<'_>) {
    object.text("client", result.client);
    object.text("version", result.version);
    object.flag("expires", result.expires);
    object.number("ttl", result.ttl);
    object.raw("data", result.data);
    object.map("subs", result.subs, subscribe);
    object.number("ping", result.ping);
    object.flag("pong", result.pong);
    object.text("session", result.session);
    object.text("node", result.node);
}

fn subscribe(object: &mut Object<'_>, result: &SubscribeResult<'_>) {
    object.flag("expires", result.expires);
    object.number("ttl", result.ttl);
    object.flag("recoverable", result.recoverable);
    object.text("epoch", result.epoch);
    object.array("publications", result.publications, publication);
    object.flag("recovered", result.recovered);
    object.number("offset", result.offset);
    object.flag("positioned", result.positioned);
    object.raw("data", result.data);
    object.flag("was_recovering", result.was_recovering);
}

fn history(object: &mut Object<'_>, result: &HistoryResult<'_>) {
    object.array_always("publications", result.publications, publication);
    object.text_always("epoch", result.epoch);
    object.number_always("offset", result.offset);
}

fn push_fields(object: &mut Object<'_>, push: &Push<'_>) {
    match push {
        Push::Publication {
            channel,
            publication: message,
        } => {
            object.text("channel", channel);
            object.object("pub", |object| publication(object, message));
        }
        Push::Subscribe {
            channel,
            subscription,
        } => {
            object.text("channel", channel);
            object.object("subscribe", |object| server_subscription(object, subscription));
        }
        Push::Unsubscribe {
            channel,
            code,
            reason,
        } => {
            object.text("channel", channel);
            object.object("unsubscribe", |object| {
                object.number("code", *code);
                object.text("reason", reason);
            });
        }
        Push::Disconnect {
            code,
            reason,
            reconnect,
        } => object.object("disconnect", |object| {
            object.number("code", *code);
            object.text("reason", reason);
            object.flag("reconnect", *reconnect);
        }),
    }
}

fn publication(object: &mut Object<'_>, publication: &Publication<'_>) {
    object.raw("data", Some(publication.data));
    object.raw("info", publication.info);
    object.number("offset", publication.offset);
    object.raw("tags", publication.tags);
    object.number("time", publication.time);
}

fn server_subscription(object: &mut Object<'_>, subscription: &ServerSubscription<'_>) {
    object.flag("recoverable", subscription.recoverable);
    object.text("epoch", subscription.epoch);
    object.number("offset", subscription.offset);
    object.flag("positioned", subscription.positioned);
    object.raw("data", subscription.data);
}

#[cfg(test)]
mod tests;
