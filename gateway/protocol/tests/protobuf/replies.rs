//! What the codec writes, prost reads: everything that was said, and nothing else.

#![expect(clippy::unwrap_used, reason = "what tests made themselves is as they made it")]

use std::collections::BTreeMap;

use natter_protocol::{
    ClientInfo, ConnectResult, ErrorCode, HistoryResult, PresenceStats, Publication, Push, RefreshResult,
    Reply, ReplyBody, ServerSubscription, SubscribeResult, json, protobuf,
};
use proptest::{collection, option, prelude::*};
use prost::Message;

use super::{commands::bytes, mirror};

fn json_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        "-?[1-9][0-9]{0,30}",
        "\"[a-zé ]{0,12}\""
    ]
}

/// As prost has it, `conn_info` and `chan_info` JSON texts.
fn info() -> impl Strategy<Value = mirror::ClientInfo> {
    let extra = || option::of(json_text()).prop_map(|text| text.unwrap_or_default().into_bytes());
    (any::<[String; 2]>(), extra(), extra()).prop_map(|([user, client], conn_info, chan_info)| {
        mirror::ClientInfo {
            user,
            client,
            conn_info,
            chan_info,
        }
    })
}

fn as_protocol(info: &mirror::ClientInfo) -> ClientInfo<'_> {
    let text = |bytes| Some(std::str::from_utf8(bytes).unwrap()).filter(|text| !text.is_empty());
    ClientInfo {
        user: &info.user,
        client: &info.client,
        conn_info: text(&info.conn_info),
        chan_info: text(&info.chan_info),
    }
}

fn publication() -> impl Strategy<Value = mirror::Publication> {
    let data = prop_oneof![9 => bytes(), 1 => collection::vec(any::<u8>(), 16_000..17_000)];
    let tags = collection::btree_map(any::<String>(), any::<String>(), 0..4);
    (
        data,
        option::of(info()),
        any::<u64>(),
        tags,
        any::<bool>(),
        any::<i64>(),
        any::<String>(),
    )
        .prop_map(
            |(data, info, offset, tags, delta, time, channel)| mirror::Publication {
                data,
                info,
                offset,
                tags,
                delta,
                time,
                channel,
            },
        )
}

/// The JSON texts of a publication.
struct Texts {
    info: Option<String>,
    tags: Option<String>,
}

impl Texts {
    fn of(publication: &mirror::Publication) -> Self {
        let info = publication.info.as_ref().map(|info| {
            let mut out = Vec::new();
            json::encode_client_info(&as_protocol(info), &mut out);
            String::from_utf8(out).unwrap()
        });
        let tags = (!publication.tags.is_empty()).then(|| serde_json::to_string(&publication.tags).unwrap());
        Self { info, tags }
    }

    fn publication<'a>(&'a self, publication: &'a mirror::Publication) -> Publication<'a> {
        Publication {
            data: &publication.data,
            info: self.info.as_deref(),
            offset: publication.offset,
            tags: self.tags.as_deref(),
            delta: publication.delta,
            time: publication.time,
            channel: &publication.channel,
        }
    }
}

fn all_texts(publications: &[mirror::Publication]) -> Vec<Texts> {
    publications.iter().map(Texts::of).collect()
}

fn as_publications<'a>(texts: &'a [Texts], publications: &'a [mirror::Publication]) -> Vec<Publication<'a>> {
    texts
        .iter()
        .zip(publications)
        .map(|(texts, publication)| texts.publication(publication))
        .collect()
}

fn subscribe_result() -> impl Strategy<Value = mirror::SubscribeResult> {
    let publications = collection::vec(publication(), 0..3);
    (
        any::<[bool; 6]>(),
        any::<(u32, u64)>(),
        any::<String>(),
        publications,
        bytes(),
    )
        .prop_map(|(flags, (ttl, offset), epoch, publications, data)| {
            let [expires, recoverable, recovered, positioned, was_recovering, delta] = flags;
            mirror::SubscribeResult {
                expires,
                ttl,
                recoverable,
                epoch,
                publications,
                recovered,
                offset,
                positioned,
                data,
                was_recovering,
                delta,
            }
        })
}

fn as_subscribe_result<'a>(
    result: &'a mirror::SubscribeResult,
    publications: &'a [Publication<'a>],
) -> SubscribeResult<'a> {
    SubscribeResult {
        expires: result.expires,
        ttl: result.ttl,
        recoverable: result.recoverable,
        epoch: &result.epoch,
        publications,
        recovered: result.recovered,
        offset: result.offset,
        positioned: result.positioned,
        data: &result.data,
        was_recovering: result.was_recovering,
        delta: result.delta,
    }
}

fn connect_result() -> impl Strategy<Value = mirror::ConnectResult> {
    let subs = collection::btree_map(any::<String>(), subscribe_result(), 0..3);
    (
        any::<[String; 4]>(),
        any::<[bool; 2]>(),
        any::<[u32; 2]>(),
        bytes(),
        subs,
    )
        .prop_map(
            |([client, version, session, node], [expires, pong], [ttl, ping], data, subs)| {
                mirror::ConnectResult {
                    client,
                    version,
                    expires,
                    ttl,
                    data,
                    subs,
                    ping,
                    pong,
                    session,
                    node,
                }
            },
        )
}

/// The same result as the push has it.
fn pushed(result: mirror::ConnectResult) -> mirror::Connect {
    mirror::Connect {
        client: result.client,
        version: result.version,
        data: result.data,
        subs: result.subs,
        expires: result.expires,
        ttl: result.ttl,
        ping: result.ping,
        pong: result.pong,
        session: result.session,
        node: result.node,
    }
}

/// Behind something else in the buffer: read back by prost.
fn read<M: Message + Default>(encode: impl FnOnce(&mut Vec<u8>)) -> M {
    let mut out = b"head".to_vec();
    encode(&mut out);
    let encoded = out.strip_prefix(b"head").unwrap();
    M::decode_length_delimited(encoded).unwrap()
}

fn reply(id: u32, body: ReplyBody<'_>) -> mirror::Reply {
    read(|out| protobuf::encode_reply(&Reply { id, body }, out))
}

/// In the reply that carries it, in which nothing else is.
fn push(push: &Push<'_>) -> mirror::Push {
    let reply: mirror::Reply = read(|out| protobuf::encode_push(push, out));
    let carried = reply.push.clone().unwrap();
    assert_eq!(
        reply,
        mirror::Reply {
            push: Some(carried.clone()),
            ..mirror::Reply::default()
        }
    );
    carried
}

proptest! {
    #[test]
    fn connects(id: u32, result in connect_result()) {
        let results: Vec<_> = result.subs.values().collect();
        let texts: Vec<_> = results.iter().map(|result| all_texts(&result.publications)).collect();
        let publications: Vec<_> = texts.iter().zip(&results)
            .map(|(texts, result)| as_publications(texts, &result.publications)).collect();
        let encoded: Vec<_> = results.iter().zip(&publications).map(|(result, publications)| {
            let mut out = Vec::new();
            protobuf::encode_subscription(&as_subscribe_result(result, publications), &mut out);
            out
        }).collect();
        let subs: Vec<_> = result.subs.keys().zip(&encoded)
            .map(|(channel, encoded)| (channel.as_str(), encoded.as_slice()))
            .collect();
        let said = ConnectResult {
            client: &result.client,
            version: &result.version,
            expires: result.expires,
            ttl: result.ttl,
            data: &result.data,
            subs: &subs,
            ping: result.ping,
            pong: result.pong,
            session: &result.session,
            node: &result.node,
        };
        let expected = mirror::Reply { id, connect: Some(result.clone()), ..mirror::Reply::default() };
        prop_assert_eq!(reply(id, ReplyBody::Connect(said.clone())), expected);
        let expected = mirror::Push { connect: Some(pushed(result.clone())), ..mirror::Push::default() };
        prop_assert_eq!(push(&Push::Connect(said)), expected);
    }

    #[test]
    fn subscribes(id: u32, result in subscribe_result()) {
        let texts = all_texts(&result.publications);
        let publications = as_publications(&texts, &result.publications);
        let said = as_subscribe_result(&result, &publications);
        let expected = mirror::Reply { id, subscribe: Some(result.clone()), ..mirror::Reply::default() };
        prop_assert_eq!(reply(id, ReplyBody::Subscribe(said)), expected);
    }

    #[test]
    fn histories(id: u32, publications in collection::vec(publication(), 0..4), epoch: String, offset: u64) {
        let texts = all_texts(&publications);
        let said = as_publications(&texts, &publications);
        let said = HistoryResult { publications: &said, epoch: &epoch, offset };
        let read = reply(id, ReplyBody::History(said));
        let history = Some(mirror::HistoryResult { publications, epoch, offset });
        prop_assert_eq!(read, mirror::Reply { id, history, ..mirror::Reply::default() });
    }

    #[test]
    fn presences(id: u32, members in collection::btree_map(any::<String>(), info(), 0..4), counts: (u32, u32)) {
        let presence: BTreeMap<_, _> = members.into_iter()
            .map(|(client, info)| (client.clone(), mirror::ClientInfo { client, ..info })).collect();
        let said: Vec<_> = presence.values().map(as_protocol).collect();
        let read = reply(id, ReplyBody::Presence(&said));
        let presence = Some(mirror::PresenceResult { presence: presence.clone() });
        prop_assert_eq!(read, mirror::Reply { id, presence, ..mirror::Reply::default() });

        let (num_clients, num_users) = counts;
        let read = reply(id, ReplyBody::PresenceStats(PresenceStats { num_clients, num_users }));
        let presence_stats = Some(mirror::PresenceStatsResult { num_clients, num_users });
        prop_assert_eq!(read, mirror::Reply { id, presence_stats, ..mirror::Reply::default() });
    }

    #[test]
    fn the_other_replies(id: u32, data in bytes(), expires: bool, ttl: u32) {
        let nothing = || mirror::Reply { id, ..mirror::Reply::default() };
        let result = RefreshResult { expires, ttl };
        let empty = || Some(mirror::Empty {});
        let rows = [
            (reply(id, ReplyBody::Unsubscribe), mirror::Reply { unsubscribe: empty(), ..nothing() }),
            (reply(id, ReplyBody::Publish), mirror::Reply { publish: empty(), ..nothing() }),
            (reply(id, ReplyBody::Rpc(&data)), mirror::Reply { rpc: Some(mirror::Data { data }), ..nothing() }),
            (
                reply(id, ReplyBody::Refresh(result)),
                mirror::Reply { refresh: Some(mirror::RefreshResult { expires, ttl }), ..nothing() },
            ),
            (
                reply(id, ReplyBody::SubRefresh(result)),
                mirror::Reply { sub_refresh: Some(mirror::Refresh { expires, ttl }), ..nothing() },
            ),
        ];
        for (read, expected) in rows {
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn publications(channel: String, publication in publication()) {
        let texts = Texts::of(&publication);
        let said = texts.publication(&publication);
        let read = push(&Push::Publication { channel: &channel, publication: &said });
        prop_assert_eq!(read, mirror::Push { channel, r#pub: Some(publication), ..mirror::Push::default() });
    }

    #[test]
    fn joins_and_leaves(channel: String, info in info()) {
        let nothing = || mirror::Push { channel: channel.clone(), ..mirror::Push::default() };
        let who = Some(mirror::Who { info: Some(info.clone()) });
        let join = push(&Push::Join { channel: &channel, info: as_protocol(&info) });
        prop_assert_eq!(join, mirror::Push { join: who.clone(), ..nothing() });
        let leave = push(&Push::Leave { channel: &channel, info: as_protocol(&info) });
        prop_assert_eq!(leave, mirror::Push { leave: who, ..nothing() });
    }

    #[test]
    fn subscriptions(channel: String, epoch: String, reason: String, offset: u64, code: u32, flags: [bool; 2], data in bytes()) {
        let nothing = || mirror::Push { channel: channel.clone(), ..mirror::Push::default() };
        let [recoverable, positioned] = flags;
        let subscription = ServerSubscription { recoverable, epoch: &epoch, offset, positioned, data: &data };
        let read = push(&Push::Subscribe { channel: &channel, subscription });
        let subscribe = Some(mirror::Subscribe { recoverable, epoch: epoch.clone(), offset, positioned, data: data.clone() });
        prop_assert_eq!(read, mirror::Push { subscribe, ..nothing() });

        let read = push(&Push::Unsubscribe { channel: &channel, code, reason: &reason });
        let unsubscribe = Some(mirror::Unsubscribe { code, reason: reason.clone() });
        prop_assert_eq!(read, mirror::Push { unsubscribe, ..nothing() });
    }

    #[test]
    fn the_other_pushes(data in bytes(), code: u16, reason: String, reconnect: bool, expires: bool, ttl: u32) {
        let nothing = mirror::Push::default;
        let read = push(&Push::Message { data: &data });
        prop_assert_eq!(read, mirror::Push { message: Some(mirror::Data { data }), ..nothing() });
        let read = push(&Push::Disconnect { code, reason: &reason, reconnect });
        let disconnect = Some(mirror::Disconnect { code: code.into(), reason, reconnect });
        prop_assert_eq!(read, mirror::Push { disconnect, ..nothing() });
        let read = push(&Push::Refresh(RefreshResult { expires, ttl }));
        prop_assert_eq!(read, mirror::Push { refresh: Some(mirror::Refresh { expires, ttl }), ..nothing() });
    }
}

#[test]
fn errors() {
    let error = |code: ErrorCode, message: &str| {
        let error = mirror::Error {
            code: code.code(),
            message: message.to_owned(),
            temporary: code.temporary(),
        };
        mirror::Reply {
            id: 7,
            error: Some(error),
            ..mirror::Reply::default()
        }
    };
    for &code in ErrorCode::ALL {
        assert_eq!(reply(7, ReplyBody::Error(code)), error(code, code.message()));
        assert_eq!(reply(7, ReplyBody::Refused(code, "why")), error(code, "why"));
    }
}

/// One length of each width, on both sides of the border.
#[test]
fn lengths_of_every_width() {
    for length in [
        0, 1, 100, 120, 127, 128, 129, 16_370, 16_383, 16_384, 2_097_140, 2_097_151, 2_097_152,
    ] {
        let data = vec![7; length];
        let read = reply(1, ReplyBody::Rpc(&data));
        assert_eq!(read.rpc.unwrap().data, data);
    }
}

#[test]
fn the_ping_is_the_empty_reply() {
    let ping = read::<mirror::Reply>(|out| out.extend(protobuf::PING));
    assert_eq!(ping, mirror::Reply::default());
}

/// What no gateway writes must not end a reply early or make it unreadable.
#[test]
fn texts_that_are_none_are_left_out() {
    let said = |info: &'static str, tags: &'static str| {
        let publication = Publication {
            data: b"x",
            info: Some(info),
            tags: Some(tags),
            ..Publication::default()
        };
        push(&Push::Publication {
            channel: "c",
            publication: &publication,
        })
        .r#pub
        .unwrap()
    };
    let bare = mirror::Publication {
        data: b"x".to_vec(),
        ..mirror::Publication::default()
    };
    for text in ["", "x", "1", "{\"user\":1}", "{\"a\":\"b\""] {
        let mut read = said(text, text);
        if text == "{\"user\":1}" {
            read.info = None;
        }
        assert_eq!(read, bare, "{text:?}");
    }
    let read = said(r#"{"user":"a\"b","conn_info":null,"new":[1]}"#, r#"{"k\n":"v"}"#);
    let info = mirror::ClientInfo {
        user: "a\"b".to_owned(),
        conn_info: b"null".to_vec(),
        ..mirror::ClientInfo::default()
    };
    let tags = [("k\n".to_owned(), "v".to_owned())].into();
    assert_eq!(
        read,
        mirror::Publication {
            info: Some(info),
            tags,
            ..bare
        }
    );
}
