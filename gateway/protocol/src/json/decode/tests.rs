use std::borrow::Cow;

use super::*;
use crate::command::{
    ChannelRequest, ConnectRequest, HistoryRequest, PublishRequest, RefreshRequest, RpcRequest, SendRequest,
    StreamPosition, SubRefreshRequest, SubscribeRequest, UnsubscribeRequest,
};
use crate::{filter::FilterNode, payload::Payload};

fn one(frame: &str) -> Result<Command<'_>, DecodeError> {
    let mut commands = decode(frame);
    let first = commands.next().expect("a frame yields at least one item");
    assert!(commands.next().is_none(), "{frame:?} yields more than one item");
    first
}

fn payload(text: &str) -> Option<Payload<'_>> {
    serde_json::from_str(text).ok()
}

fn accepts(frame: &str, id: u32, request: Request<'_>) {
    assert_eq!(one(frame), Ok(Command { id, request }), "{frame:?}");
}

#[test]
fn pongs() {
    for frame in [
        "{}",
        " {} ",
        "{}\n",
        "{ }\r\n",
        r#"{"id":0}"#,
        r#"{"id":null}"#,
        r#"{"x":[{}]}"#,
        r#"{"send":null}"#,
    ] {
        accepts(frame, 0, Request::Pong);
    }
}

#[test]
fn connects() {
    accepts(
        r#"{"id":1,"connect":{}}"#,
        1,
        Request::Connect(ConnectRequest::default()),
    );
    accepts(
        r#"{"connect":{"name":"js","unknown":[1,{"a":2}]},"id":4294967295,"new":{}}"#,
        u32::MAX,
        {
            Request::Connect(ConnectRequest {
                name: "js".into(),
                ..Default::default()
            })
        },
    );
    let nulls = r#"{"id":1,"connect":{"token":null,"subs":null,"name":null,"headers":null}}"#;
    accepts(nulls, 1, Request::Connect(ConnectRequest::default()));
    let full = concat!(
        r#"{"id":1,"connect":{"token":"t","data":{"a": 1},"subs":{"b":{"recover":true,"epoch":"e","offset":7},"a":null},"#,
        r#""name":"js","version":"5.7","headers":{"X-A":"1","X-\u0042":"2"}}}"#
    );
    let position = SubscribeRequest {
        recover: true,
        epoch: "e".into(),
        offset: 7,
        ..Default::default()
    };
    let expected = ConnectRequest {
        token: "t".into(),
        data: payload(r#"{"a": 1}"#),
        subs: [("b".into(), position), ("a".into(), SubscribeRequest::default())].into(),
        name: "js".into(),
        version: "5.7".into(),
        headers: [("X-A".into(), "1".into()), ("X-B".into(), "2".into())].into(),
    };
    accepts(full, 1, Request::Connect(expected));
}

#[test]
fn subscribes() {
    let frame = concat!(
        r#"{"id":2,"subscribe":{"channel":"c","token":"t","recover":true,"epoch":"e","offset":18446744073709551615,"#,
        r#""data":null,"positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","#,
        r#""tf":{"op":"and","nodes":[]},"flag":-1,"type":0}}"#
    );
    let expected = SubscribeRequest {
        channel: "c".into(),
        token: "t".into(),
        recover: true,
        epoch: "e".into(),
        offset: u64::MAX,
        data: payload("null"),
        positioned: true,
        recoverable: true,
        join_leave: true,
        delta: "fossil".into(),
        tf: Some(FilterNode {
            op: "and".into(),
            ..FilterNode::default()
        }),
        flag: -1,
    };
    accepts(frame, 2, Request::Subscribe(expected));
    let nulls = r#"{"id":2,"subscribe":{"channel":"c","recover":null,"offset":null,"tf":null,"flag":null}}"#;
    accepts(
        nulls,
        2,
        Request::Subscribe(SubscribeRequest {
            channel: "c".into(),
            ..Default::default()
        }),
    );
}

/// A filter is judged with its subscription: one that is none is no mistake of the command.
#[test]
fn filters() {
    let read = |text: &str, expected: FilterNode<'_>| {
        let frame = format!("{{\"id\":2,\"subscribe\":{{\"tf\":{text}}}}}");
        let request = SubscribeRequest {
            tf: Some(expected),
            ..SubscribeRequest::default()
        };
        accepts(&frame, 2, Request::Subscribe(request));
    };
    let leaf = r#"{"key":"k","cmp":"in","val":null,"vals":["a","\u0062",null],"nodes":null,"x":1}"#;
    let expected = FilterNode {
        key: "k".into(),
        cmp: "in".into(),
        vals: vec!["a".into(), "b".into(), "".into()],
        ..FilterNode::default()
    };
    read(leaf, expected.clone());
    let inner = FilterNode {
        op: "not".into(),
        nodes: vec![expected],
        ..FilterNode::default()
    };
    let both = FilterNode {
        op: "or".into(),
        nodes: vec![inner, FilterNode::default()],
        ..FilterNode::default()
    };
    let nested = format!(r#"{{"op":"or","nodes":[{{"op":"not","nodes":[{leaf}]}},null]}}"#);
    read(&nested, both);
    let deep = "{\"op\":\"not\",\"nodes\":[".repeat(1000) + &"]}".repeat(1000);
    for text in [
        "5",
        "[]",
        "\"and\"",
        r#"{"op":1}"#,
        r#"{"vals":"v"}"#,
        r#"{"nodes":[[]]}"#,
        r#"{"op":"","op":""}"#,
        &deep,
    ] {
        read(text, FilterNode::unreadable());
    }
}

#[test]
fn the_other_requests() {
    let channel = || ChannelRequest { channel: "c".into() };
    let data = payload("[1]");
    let rows = [
        (
            r#"{"id":3,"unsubscribe":{"channel":"c"}}"#,
            Request::Unsubscribe(UnsubscribeRequest { channel: "c".into() }),
        ),
        (
            r#"{"id":3,"publish":{"channel":"c","data":[1]}}"#,
            Request::Publish(PublishRequest {
                channel: "c".into(),
                data,
                ..PublishRequest::default()
            }),
        ),
        (
            r#"{"id":3,"publish":{}}"#,
            Request::Publish(PublishRequest::default()),
        ),
        (
            r#"{"id":3,"presence":{"channel":"c"}}"#,
            Request::Presence(channel()),
        ),
        (
            r#"{"id":3,"presence_stats":{"channel":"c"}}"#,
            Request::PresenceStats(channel()),
        ),
        (r#"{"id":3,"history":{"channel":"c"}}"#, {
            Request::History(HistoryRequest {
                channel: "c".into(),
                ..Default::default()
            })
        }),
        (
            r#"{"id":3,"history":{"channel":"c","limit":-1,"since":{"offset":5,"epoch":"e"},"reverse":true}}"#,
            {
                let since = Some(StreamPosition {
                    offset: 5,
                    epoch: "e".into(),
                });
                Request::History(HistoryRequest {
                    channel: "c".into(),
                    limit: -1,
                    since,
                    reverse: true,
                })
            },
        ),
        (r#"{"id":3,"ping":{}}"#, Request::Ping),
        (
            r#"{"id":3,"send":{"data":[1]}}"#,
            Request::Send(SendRequest { data }),
        ),
        (
            r#"{"id":3,"rpc":{"method":"m","data":[1]}}"#,
            Request::Rpc(RpcRequest {
                data,
                method: "m".into(),
            }),
        ),
        (
            r#"{"id":3,"refresh":{"token":"t"}}"#,
            Request::Refresh(RefreshRequest { token: "t".into() }),
        ),
        (r#"{"id":3,"sub_refresh":{"channel":"c","token":"t"}}"#, {
            Request::SubRefresh(SubRefreshRequest {
                channel: "c".into(),
                token: "t".into(),
            })
        }),
        (r#"{"id":3,"ping":{},"send":null}"#, Request::Ping),
    ];
    for (frame, request) in rows {
        accepts(frame, 3, request);
    }
    accepts(r#"{"send":{"data":[1]}}"#, 0, Request::Send(SendRequest { data }));
}

#[test]
fn what_is_refused_and_why() {
    let rows = [
        ("empty", ""),
        ("empty", "\n"),
        ("empty", " \r\n\t\n"),
        ("syntax", "x"),
        ("syntax", "{"),
        ("syntax", r#"{"id":1,"ping":{}}}"#),
        ("syntax", r#"{"id":1,"ping":{}} {}"#),
        ("syntax", r#"{"id":1,"ping":{},}"#),
        ("syntax", "{'id':1}"),
        ("syntax", r#"{"id":01,"ping":{}}"#),
        ("syntax", "\u{feff}{}"),
        ("syntax", r#"{"id":1,"publish":{"channel":"c","data":{]}}"#),
        ("syntax", r#"{"id":1,"publish":{"channel":"c","data":nul}}"#),
        ("syntax", "{\"id\":1,\"publish\":{\"data\":\"a\tb\"}}"),
        ("syntax", r#"{"id":1,"subscribe":{"channel":"\ud83d"}}"#),
        ("data", "null"),
        ("data", "1"),
        ("data", r#""{}""#),
        ("data", "[]"),
        ("data", r#"[1,{"channel":"c"}]"#),
        ("data", r#"{"id":-1,"ping":{}}"#),
        ("data", r#"{"id":4294967296,"ping":{}}"#),
        ("data", r#"{"id":1.5,"ping":{}}"#),
        ("data", r#"{"id":1e0,"ping":{}}"#),
        ("data", r#"{"id":"1","ping":{}}"#),
        ("data", r#"{"id":true,"ping":{}}"#),
        ("data", r#"{"id":1,"id":2,"ping":{}}"#),
        ("data", r#"{"id":1,"subscribe":["c"]}"#),
        ("data", r#"{"id":1,"subscribe":"c"}"#),
        ("data", r#"{"id":1,"ping":true}"#),
        ("data", r#"{"id":1,"subscribe":{"channel":1}}"#),
        ("data", r#"{"id":1,"subscribe":{"channel":{"a":1}}}"#),
        ("data", r#"{"id":1,"subscribe":{"channel":"a","channel":"b"}}"#),
        ("data", r#"{"id":1,"subscribe":{"recover":1}}"#),
        ("data", r#"{"id":1,"subscribe":{"offset":-1}}"#),
        ("data", r#"{"id":1,"history":{"limit":2147483648}}"#),
        ("data", r#"{"id":1,"history":{"since":[1,"e"]}}"#),
        ("data", r#"{"id":1,"connect":{"subs":[]}}"#),
        ("data", r#"{"id":1,"connect":{"subs":{"a":{},"a":{}}}}"#),
        ("data", r#"{"id":1,"connect":{"headers":{"a":1}}}"#),
        ("data", r#"{"id":1,"publish":{"data":1,"data":2}}"#),
        ("missing_id", r#"{"subscribe":{"channel":"c"}}"#),
        ("missing_id", r#"{"id":0,"connect":{}}"#),
        ("missing_id", r#"{"ping":{}}"#),
        ("unknown_command", r#"{"id":1}"#),
        ("unknown_command", r#"{"id":1,"dance":{}}"#),
        ("unknown_command", r#"{"id":1,"Subscribe":{}}"#),
        ("unknown_command", r#"{"id":1,"subscribe":null}"#),
        (
            "unknown_command",
            r#"{"id":1,"method":1,"params":{"channel":"c"}}"#,
        ),
        ("ambiguous", r#"{"id":1,"subscribe":{},"publish":{}}"#),
        ("ambiguous", r#"{"id":1,"subscribe":{},"subscribe":{}}"#),
        ("ambiguous", r#"{"connect":{},"send":{}}"#),
    ];
    for (label, frame) in rows {
        assert_eq!(one(frame).map_err(DecodeError::label), Err(label), "{frame:?}");
    }
}

#[test]
fn an_error_says_where_and_repeats_nothing() {
    let error = one(r#"{"id":1,"connect":{"token":12345}}"#).unwrap_err();
    assert_eq!(error, DecodeError::Data { column: 32 });
    assert_eq!(
        error.to_string(),
        "wrong type, value out of range or duplicate key at byte 32"
    );
}

#[test]
fn one_command_a_line() {
    let frame = "\r\n {\"id\":1,\"connect\":{}}\r\n\n\t{\"id\":2,\"ping\":{}}\n{}\n\n";
    let ids: Vec<_> = decode(frame)
        .map(|command| command.map(|command| command.id))
        .collect();
    assert_eq!(ids, [Ok(1), Ok(2), Ok(0)]);
}

#[test]
fn a_command_over_several_lines_is_refused_line_by_line() {
    let items: Vec<_> = decode(
        "{\"id\":1,
\"ping\":{}}",
    )
    .map(|command| command.is_ok())
    .collect();
    assert_eq!(items, [false, false]);
}

#[test]
fn a_bad_line_does_not_hide_the_others() {
    let items: Vec<_> = decode("{}\nx\n{}").map(|command| command.is_ok()).collect();
    assert_eq!(items, [true, false, true]);
}

#[test]
fn text_is_borrowed_unless_it_has_escapes() {
    let Ok(Command {
        request: Request::Subscribe(plain),
        ..
    }) = one(r#"{"id":1,"subscribe":{"channel":"plain"}}"#)
    else {
        panic!("a subscribe");
    };
    assert!(matches!(plain.channel, Cow::Borrowed("plain")));
    let Ok(Command {
        request: Request::Subscribe(escaped),
        ..
    }) = one(r#"{"id":1,"subscribe":{"channel":"a\"b"}}"#)
    else {
        panic!("a subscribe");
    };
    assert!(matches!(escaped.channel, Cow::Owned(channel) if channel == "a\"b"));
}

fn relayed(data: &str) {
    let frame = format!(r#"{{"id":1,"publish":{{"channel":"c","data":{data}}}}}"#);
    match one(&frame) {
        Ok(Command {
            request: Request::Publish(PublishRequest {
                data: Some(relayed), ..
            }),
            ..
        }) => {
            assert!(relayed == Payload::Json(data), "payload changed");
        }
        other => panic!("{:?}", other.map(|command| command.id)),
    }
}

#[test]
fn payloads_stay_as_they_were_written() {
    let payloads = [
        "null",
        "123456789012345678901234567890.5e+400",
        "-0",
        r#""\ud83d""#,
        r#""\u0000\/\u00e9é""#,
        r#"{"b":1,"a":2,"b":3}"#,
        "{\"a\" :\r[ 1,\t2 ] }",
        r#"{"$serde_json::private::RawValue":"1"}"#,
    ];
    payloads.into_iter().for_each(relayed);
}

#[test]
fn any_depth_of_nesting_is_relayed_on_a_small_stack() {
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let test = move || {
        relayed(&arrays);
        relayed(&objects);
        let ignored = format!(r#"{{"id":1,"ping":{{"new":{arrays}}},"other":{objects}}}"#);
        assert!(one(&ignored).is_ok());
        let unclosed = "[".repeat(100_000);
        assert_eq!(one(&unclosed).map_err(DecodeError::label), Err("data"));
        let wrong_place = format!(r#"{{"id":1,"subscribe":{{"channel":{objects}}}}}"#);
        assert_eq!(one(&wrong_place).map_err(DecodeError::label), Err("data"));
    };
    std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_bare_connect_request() {
    let request = decode_connect(r#"{"subs":{"a":{"offset":7}},"name":"curl"}"#).unwrap();
    assert_eq!((request.subs["a"].offset, &*request.name), (7, "curl"));
    for text in ["null", "{}", " {\"future\":1}\n"] {
        assert_eq!(decode_connect(text).unwrap(), ConnectRequest::default(), "{text}");
    }
    for text in ["", "[]", "7", "{", "{\"subs\":7}", "{} {}"] {
        assert!(decode_connect(text).is_err(), "{text}");
    }
}
