//! The fields of replies and pushes, once for both encodings: their names in JSON, their numbers in Protobuf. Order
//! and omissions are those of the centrifuge library.

use crate::{
    push::{ClientInfo, Publication, Push, ServerSubscription},
    reply::{ConnectResult, HistoryResult, PresenceStats, RefreshResult, Reply, ReplyBody, SubscribeResult},
};

/// A field's name in JSON, which needs no escapes, and its number in Protobuf.
pub(crate) type Key = (&'static str, u32);

/// A message being written in one of the encodings. Zero values are left out, as the protocol wants it.
pub(crate) trait Fields {
    fn text(&mut self, key: Key, value: &str);
    fn number(&mut self, key: Key, value: u64);
    fn signed(&mut self, key: Key, value: i64);
    fn flag(&mut self, key: Key, value: bool);
    /// Application data. A JSON text when the reader speaks JSON.
    fn data(&mut self, key: Key, value: &[u8]);
    /// Who published: the JSON text of a [`ClientInfo`].
    fn info(&mut self, key: Key, value: Option<&str>);
    /// The JSON text of an object of strings.
    fn tags(&mut self, key: Key, value: Option<&str>);
    /// A message, there even when it is empty.
    fn message(&mut self, key: Key, fields: impl FnOnce(&mut Self));
    fn array<V>(&mut self, key: Key, items: &[V], fields: impl Fn(&mut Self, &V));
    /// `name` gives an item's key in the map, which may need escapes.
    fn map<V>(&mut self, key: Key, items: &[V], name: impl Fn(&V) -> &str, fields: impl Fn(&mut Self, &V));
    /// Fields that were written before, in the same encoding.
    fn encoded(&mut self, fields: &[u8]);

    // What stands in JSON also when it is zero.

    fn text_always(&mut self, key: Key, value: &str) {
        self.text(key, value);
    }
    fn number_always(&mut self, key: Key, value: u64) {
        self.number(key, value);
    }
    fn array_always<V>(&mut self, key: Key, items: &[V], fields: impl Fn(&mut Self, &V)) {
        self.array(key, items, fields);
    }
    fn map_always<V>(
        &mut self,
        key: Key,
        items: &[V],
        name: impl Fn(&V) -> &str,
        fields: impl Fn(&mut Self, &V),
    ) {
        self.map(key, items, name, fields);
    }
}

pub(crate) fn reply<F: Fields>(out: &mut F, reply: &Reply<'_>) {
    out.number(("id", 1), reply.id.into());
    match &reply.body {
        ReplyBody::Error(code) => {
            out.message(("error", 2), |out| {
                error(out, code.code(), code.message(), code.temporary());
            });
        }
        ReplyBody::Refused(code, reason) => {
            out.message(("error", 2), |out| {
                error(out, code.code(), reason, code.temporary());
            });
        }
        ReplyBody::Foreign {
            code,
            message,
            temporary,
        } => out.message(("error", 2), |out| error(out, *code, message, *temporary)),
        ReplyBody::Connect(result) => out.message(("connect", 5), |out| connect(out, result)),
        ReplyBody::Subscribe(result) => out.message(("subscribe", 6), |out| subscribe(out, result)),
        ReplyBody::Unsubscribe => out.message(("unsubscribe", 7), |_| {}),
        ReplyBody::Publish => out.message(("publish", 8), |_| {}),
        ReplyBody::Presence(members) => out.message(("presence", 9), |out| presence(out, members)),
        ReplyBody::PresenceStats(stats) => {
            out.message(("presence_stats", 10), |out| presence_stats(out, *stats));
        }
        ReplyBody::History(result) => out.message(("history", 11), |out| history(out, result)),
        ReplyBody::Rpc(data) => out.message(("rpc", 13), |out| out.data(("data", 1), data)),
        // The fields 1 and 2 are the connection's id and the server's version, which centrifuge leaves out as well.
        ReplyBody::Refresh(result) => out.message(("refresh", 14), |out| refresh(out, *result, 3)),
        ReplyBody::SubRefresh(result) => out.message(("sub_refresh", 15), |out| refresh(out, *result, 1)),
    }
}

/// A push in the reply that carries it to clients that send commands.
pub(crate) fn push_reply<F: Fields>(out: &mut F, message: &Push<'_>) {
    out.message(("push", 4), |out| push(out, message));
}

pub(crate) fn push<F: Fields>(out: &mut F, push: &Push<'_>) {
    out.text(("channel", 2), push.channel());
    match push {
        Push::Publication {
            publication: message, ..
        } => out.message(("pub", 4), |out| publication(out, message)),
        Push::Join { info, .. } => out.message(("join", 5), |out| who(out, info)),
        Push::Leave { info, .. } => out.message(("leave", 6), |out| who(out, info)),
        Push::Unsubscribe { code, reason, .. } => out.message(("unsubscribe", 7), |out| {
            out.number(("code", 2), (*code).into());
            out.text(("reason", 3), reason);
        }),
        Push::Message { data } => out.message(("message", 8), |out| out.data(("data", 1), data)),
        Push::Subscribe { subscription, .. } => {
            out.message(("subscribe", 9), |out| server_subscription(out, subscription));
        }
        Push::Connect(result) => out.message(("connect", 10), |out| pushed_connect(out, result)),
        Push::Disconnect {
            code,
            reason,
            reconnect,
        } => out.message(("disconnect", 11), |out| {
            out.number(("code", 1), (*code).into());
            out.text(("reason", 2), reason);
            out.flag(("reconnect", 3), *reconnect);
        }),
        Push::Refresh(result) => out.message(("refresh", 12), |out| refresh(out, *result, 1)),
    }
}

pub(crate) fn publication<F: Fields>(out: &mut F, publication: &Publication<'_>) {
    out.data(("data", 4), publication.data);
    out.info(("info", 5), publication.info);
    out.number(("offset", 6), publication.offset);
    out.tags(("tags", 7), publication.tags);
    out.flag(("delta", 8), publication.delta);
    out.signed(("time", 9), publication.time);
    out.text(("channel", 10), publication.channel);
}

pub(crate) fn client_info<F: Fields>(out: &mut F, info: &ClientInfo<'_>) {
    out.text_always(("user", 1), info.user);
    out.text_always(("client", 2), info.client);
    out.data(("conn_info", 3), info.conn_info.unwrap_or_default().as_bytes());
    out.data(("chan_info", 4), info.chan_info.unwrap_or_default().as_bytes());
}

fn who<F: Fields>(out: &mut F, info: &ClientInfo<'_>) {
    out.message(("info", 1), |out| client_info(out, info));
}

fn error<F: Fields>(out: &mut F, code: u32, message: &str, temporary: bool) {
    out.number(("code", 1), code.into());
    out.text(("message", 2), message);
    out.flag(("temporary", 3), temporary);
}

fn connect<F: Fields>(out: &mut F, result: &ConnectResult<'_>) {
    out.text(("client", 1), result.client);
    out.text(("version", 2), result.version);
    out.flag(("expires", 3), result.expires);
    out.number(("ttl", 4), result.ttl.into());
    out.data(("data", 5), result.data);
    subscriptions(out, ("subs", 6), result);
    out.number(("ping", 7), result.ping.into());
    out.flag(("pong", 8), result.pong);
    out.text(("session", 9), result.session);
    out.text(("node", 10), result.node);
}

/// The same as a push: to clients that send no commands.
fn pushed_connect<F: Fields>(out: &mut F, result: &ConnectResult<'_>) {
    out.text(("client", 1), result.client);
    out.text(("version", 2), result.version);
    out.data(("data", 3), result.data);
    subscriptions(out, ("subs", 4), result);
    out.flag(("expires", 5), result.expires);
    out.number(("ttl", 6), result.ttl.into());
    out.number(("ping", 7), result.ping.into());
    out.flag(("pong", 8), result.pong);
    out.text(("session", 9), result.session);
    out.text(("node", 10), result.node);
}

fn subscriptions<F: Fields>(out: &mut F, key: Key, result: &ConnectResult<'_>) {
    out.map(
        key,
        result.subs,
        |(channel, _)| channel,
        |out, (_, result)| out.encoded(result),
    );
}

pub(crate) fn subscribe<F: Fields>(out: &mut F, result: &SubscribeResult<'_>) {
    out.flag(("expires", 1), result.expires);
    out.number(("ttl", 2), result.ttl.into());
    out.flag(("recoverable", 3), result.recoverable);
    out.text(("epoch", 6), result.epoch);
    out.array(("publications", 7), result.publications, publication);
    out.flag(("recovered", 8), result.recovered);
    out.number(("offset", 9), result.offset);
    out.flag(("positioned", 10), result.positioned);
    out.data(("data", 11), result.data);
    out.flag(("was_recovering", 12), result.was_recovering);
    out.flag(("delta", 13), result.delta);
}

fn server_subscription<F: Fields>(out: &mut F, subscription: &ServerSubscription<'_>) {
    out.flag(("recoverable", 1), subscription.recoverable);
    out.text(("epoch", 4), subscription.epoch);
    out.number(("offset", 5), subscription.offset);
    out.flag(("positioned", 6), subscription.positioned);
    out.data(("data", 7), subscription.data);
}

fn presence<F: Fields>(out: &mut F, members: &[ClientInfo<'_>]) {
    out.map_always(("presence", 1), members, |info| info.client, client_info);
}

fn presence_stats<F: Fields>(out: &mut F, stats: PresenceStats) {
    out.number_always(("num_clients", 1), stats.num_clients.into());
    out.number_always(("num_users", 2), stats.num_users.into());
}

fn history<F: Fields>(out: &mut F, result: &HistoryResult<'_>) {
    out.array_always(("publications", 1), result.publications, publication);
    out.text_always(("epoch", 2), result.epoch);
    out.number_always(("offset", 3), result.offset);
}

/// `first` is the number of the first field: it differs between the messages with these fields.
fn refresh<F: Fields>(out: &mut F, result: RefreshResult, first: u32) {
    out.flag(("expires", first), result.expires);
    out.number(("ttl", first + 1), result.ttl.into());
}
