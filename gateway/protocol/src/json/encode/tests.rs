use super::*;
use crate::{
    codes::ErrorCode,
    push::ServerSubscription,
    reply::{ConnectResult, HistoryResult, PresenceStats, RefreshResult, ReplyBody, SubscribeResult},
};

fn reply(id: u32, body: ReplyBody<'_>) -> String {
    let mut out = Vec::new();
    encode_reply(&Reply { id, body }, &mut out);
    String::from_utf8(out).unwrap()
}

fn push(push: &Push<'_>) -> String {
    let mut out = Vec::new();
    encode_push(push, &mut out);
    String::from_utf8(out).unwrap()
}

fn uni_push(push: &Push<'_>) -> String {
    let mut out = Vec::new();
    encode_uni_push(push, &mut out);
    String::from_utf8(out).unwrap()
}

fn subscription(result: &SubscribeResult<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_subscription(result, &mut out);
    out
}

const MESSAGE: Publication<'_> = Publication {
    data: b"{}",
    info: None,
    offset: 0,
    tags: None,
    delta: false,
    time: 0,
    channel: "",
};

#[test]
fn connect_replies() {
    let usual = ConnectResult {
        client: "id",
        version: "natter 0.1.0",
        ping: 25,
        pong: true,
        ..Default::default()
    };
    assert_eq!(
        reply(1, ReplyBody::Connect(usual)),
        r#"{"id":1,"connect":{"client":"id","version":"natter 0.1.0","ping":25,"pong":true}}"#
    );
    let recoverable = subscription(&SubscribeResult {
        recoverable: true,
        epoch: "e",
        offset: 3,
        ..Default::default()
    });
    let subs = [("news", &[][..]), ("a\"b", &recoverable)];
    let full = ConnectResult {
        client: "id",
        version: "v",
        expires: true,
        ttl: 60,
        data: b"[1]",
        subs: &subs,
        ping: 25,
        pong: true,
        session: "s",
        node: "n",
    };
    assert_eq!(
        reply(1, ReplyBody::Connect(full)),
        concat!(
            r#"{"id":1,"connect":{"client":"id","version":"v","expires":true,"ttl":60,"data":[1],"#,
            r#""subs":{"news":{},"a\"b":{"recoverable":true,"epoch":"e","offset":3}},"#,
            r#""ping":25,"pong":true,"session":"s","node":"n"}}"#
        )
    );
    assert_eq!(
        reply(1, ReplyBody::Connect(ConnectResult::default())),
        r#"{"id":1,"connect":{}}"#
    );
}

#[test]
fn subscribe_replies() {
    assert_eq!(
        reply(2, ReplyBody::Subscribe(SubscribeResult::default())),
        r#"{"id":2,"subscribe":{}}"#
    );
    let publications = [
        Publication { offset: 4, ..MESSAGE },
        Publication { offset: 9, ..MESSAGE },
    ];
    let full = SubscribeResult {
        expires: true,
        ttl: 1,
        recoverable: true,
        epoch: "e",
        publications: &publications,
        recovered: true,
        offset: u64::MAX,
        positioned: true,
        data: b"null",
        was_recovering: true,
        delta: true,
    };
    assert_eq!(
        reply(2, ReplyBody::Subscribe(full)),
        concat!(
            r#"{"id":2,"subscribe":{"expires":true,"ttl":1,"recoverable":true,"epoch":"e","#,
            r#""publications":[{"data":{},"offset":4},{"data":{},"offset":9}],"recovered":true,"#,
            r#""offset":18446744073709551615,"positioned":true,"data":null,"was_recovering":true,"delta":true}}"#
        )
    );
}

#[test]
fn error_replies() {
    assert_eq!(
        reply(3, ReplyBody::Error(ErrorCode::AlreadySubscribed)),
        r#"{"id":3,"error":{"code":105,"message":"already subscribed"}}"#
    );
    assert_eq!(
        reply(3, ReplyBody::Error(ErrorCode::Internal)),
        r#"{"id":3,"error":{"code":100,"message":"internal server error","temporary":true}}"#
    );
    assert_eq!(
        reply(3, ReplyBody::Refused(ErrorCode::BadRequest, "not \"this\"")),
        r#"{"id":3,"error":{"code":107,"message":"not \"this\""}}"#
    );
    let foreign = ReplyBody::Foreign {
        code: 1000,
        message: "not yours",
        temporary: true,
    };
    assert_eq!(
        reply(3, foreign),
        r#"{"id":3,"error":{"code":1000,"message":"not yours","temporary":true}}"#
    );
}

#[test]
fn empty_replies_keep_their_kind() {
    assert_eq!(reply(4, ReplyBody::Unsubscribe), r#"{"id":4,"unsubscribe":{}}"#);
    assert_eq!(
        reply(u32::MAX, ReplyBody::Publish),
        r#"{"id":4294967295,"publish":{}}"#
    );
}

#[test]
fn publications() {
    assert_eq!(
        push(&Push::Publication {
            channel: "c",
            publication: &MESSAGE
        }),
        r#"{"push":{"channel":"c","pub":{"data":{}}}}"#
    );
    let mut info = Vec::new();
    encode_client_info(
        &ClientInfo {
            client: "id",
            conn_info: Some("1"),
            ..Default::default()
        },
        &mut info,
    );
    let full = Publication {
        data: br#"{"big": 1e400, "lone":"\ud83d"}"#,
        info: Some(std::str::from_utf8(&info).unwrap()),
        offset: 7,
        tags: Some(r#"{"k":"v"}"#),
        delta: true,
        time: 1_700_000_000_000,
        channel: "d\n",
    };
    assert_eq!(
        push(&Push::Publication {
            channel: "a\"\\\n\u{1}é",
            publication: &full
        }),
        concat!(
            r#"{"push":{"channel":"a\"\\\n\u0001é","pub":{"data":{"big": 1e400, "lone":"\ud83d"},"#,
            r#""info":{"user":"","client":"id","conn_info":1},"offset":7,"tags":{"k":"v"},"#,
            r#""delta":true,"time":1700000000000,"channel":"d\n"}}}"#
        )
    );
}

#[test]
fn client_infos() {
    let mut out = Vec::new();
    encode_client_info(&ClientInfo::default(), &mut out);
    let full = ClientInfo {
        user: "42",
        client: "id",
        conn_info: Some("{}"),
        chan_info: Some("[]"),
    };
    encode_client_info(&full, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"user":"","client":""}"#,
            r#"{"user":"42","client":"id","conn_info":{},"chan_info":[]}"#
        )
    );
}

#[test]
fn subscription_pushes() {
    let subscription = ServerSubscription::default();
    assert_eq!(
        push(&Push::Subscribe {
            channel: "c",
            subscription
        }),
        r#"{"push":{"channel":"c","subscribe":{}}}"#
    );
    let subscription = ServerSubscription {
        recoverable: true,
        epoch: "e",
        offset: 1,
        positioned: true,
        data: b"1",
    };
    assert_eq!(
        push(&Push::Subscribe {
            channel: "c",
            subscription
        }),
        concat!(
            r#"{"push":{"channel":"c","subscribe":"#,
            r#"{"recoverable":true,"epoch":"e","offset":1,"positioned":true,"data":1}}}"#
        )
    );
    assert_eq!(
        push(&Push::Unsubscribe {
            channel: "c",
            code: 2000,
            reason: "server unsubscribe"
        }),
        r#"{"push":{"channel":"c","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#
    );
}

#[test]
fn disconnect_pushes() {
    assert_eq!(
        push(&Push::Disconnect {
            code: 3001,
            reason: "shutdown",
            reconnect: true
        }),
        r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}}"#
    );
    assert_eq!(
        push(&Push::Disconnect {
            code: 3503,
            reason: "force disconnect",
            reconnect: false
        }),
        r#"{"push":{"disconnect":{"code":3503,"reason":"force disconnect"}}}"#
    );
}

#[test]
fn presence_replies() {
    let members = [
        ClientInfo {
            user: "42",
            client: "a\"b",
            ..ClientInfo::default()
        },
        ClientInfo {
            client: "c",
            chan_info: Some("[]"),
            ..ClientInfo::default()
        },
    ];
    assert_eq!(
        reply(5, ReplyBody::Presence(&members)),
        concat!(
            r#"{"id":5,"presence":{"presence":{"a\"b":{"user":"42","client":"a\"b"},"#,
            r#""c":{"user":"","client":"c","chan_info":[]}}}}"#
        )
    );
    assert_eq!(
        reply(5, ReplyBody::Presence(&[])),
        r#"{"id":5,"presence":{"presence":{}}}"#
    );
    let stats = PresenceStats {
        num_clients: 3,
        num_users: 2,
    };
    assert_eq!(
        reply(5, ReplyBody::PresenceStats(stats)),
        r#"{"id":5,"presence_stats":{"num_clients":3,"num_users":2}}"#
    );
    assert_eq!(
        reply(5, ReplyBody::PresenceStats(PresenceStats::default())),
        r#"{"id":5,"presence_stats":{"num_clients":0,"num_users":0}}"#
    );
}

#[test]
fn history_replies() {
    let publications = [MESSAGE];
    let page = HistoryResult {
        publications: &publications,
        epoch: "e",
        offset: 9,
    };
    assert_eq!(
        reply(6, ReplyBody::History(page)),
        r#"{"id":6,"history":{"publications":[{"data":{}}],"epoch":"e","offset":9}}"#
    );
    assert_eq!(
        reply(6, ReplyBody::History(HistoryResult::default())),
        r#"{"id":6,"history":{"publications":[],"epoch":"","offset":0}}"#
    );
}

#[test]
fn replies_of_the_backend_and_of_tokens() {
    let good = RefreshResult {
        expires: true,
        ttl: 60,
    };
    let rows = [
        (ReplyBody::Rpc(b"[1]"), r#""rpc":{"data":[1]}"#),
        (ReplyBody::Rpc(b""), r#""rpc":{}"#),
        (ReplyBody::Refresh(good), r#""refresh":{"expires":true,"ttl":60}"#),
        (ReplyBody::Refresh(RefreshResult::default()), r#""refresh":{}"#),
        (
            ReplyBody::SubRefresh(good),
            r#""sub_refresh":{"expires":true,"ttl":60}"#,
        ),
        (
            ReplyBody::SubRefresh(RefreshResult::default()),
            r#""sub_refresh":{}"#,
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(reply(7, body), format!("{{\"id\":7,{expected}}}"));
    }
}

#[test]
fn pushes_with_and_without_the_reply_around_them() {
    let info = ClientInfo {
        user: "42",
        client: "id",
        conn_info: Some("{}"),
        chan_info: None,
    };
    let news = subscription(&SubscribeResult::default());
    let subs = [("news", &news[..])];
    let connect = ConnectResult {
        client: "id",
        version: "v",
        expires: true,
        ttl: 60,
        data: b"[1]",
        subs: &subs,
        ping: 25,
        pong: true,
        session: "s",
        node: "n",
    };
    let refresh = RefreshResult {
        expires: true,
        ttl: 60,
    };
    let publication = &MESSAGE;
    let rows = [
        (
            Push::Publication {
                channel: "c",
                publication,
            },
            r#"{"channel":"c","pub":{"data":{}}}"#,
        ),
        (
            Push::Join { channel: "c", info },
            r#"{"channel":"c","join":{"info":{"user":"42","client":"id","conn_info":{}}}}"#,
        ),
        (
            Push::Leave { channel: "c", info },
            r#"{"channel":"c","leave":{"info":{"user":"42","client":"id","conn_info":{}}}}"#,
        ),
        (Push::Message { data: b"[1]" }, r#"{"message":{"data":[1]}}"#),
        (
            Push::Connect(connect),
            concat!(
                r#"{"connect":{"client":"id","version":"v","data":[1],"subs":{"news":{}},"#,
                r#""expires":true,"ttl":60,"ping":25,"pong":true,"session":"s","node":"n"}}"#
            ),
        ),
        (Push::Refresh(refresh), r#"{"refresh":{"expires":true,"ttl":60}}"#),
        (Push::Refresh(RefreshResult::default()), r#"{"refresh":{}}"#),
    ];
    for (message, expected) in rows {
        assert_eq!(uni_push(&message), expected);
        assert_eq!(push(&message), format!("{{\"push\":{expected}}}"));
    }
}

#[test]
fn encoding_appends() {
    let mut out = b"head".to_vec();
    encode_reply(
        &Reply {
            id: 1,
            body: ReplyBody::Publish,
        },
        &mut out,
    );
    assert_eq!(out, br#"head{"id":1,"publish":{}}"#);
}
