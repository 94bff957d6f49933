//! Properties of the codec over generated input.

use std::borrow::Cow;

use natter_protocol::{
    Command, ConnectRequest, DecodeError, HistoryRequest, Payload, Publication, PublishRequest, Push,
    Request, StreamPosition, SubscribeRequest, json,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A JSON text with blanks, escapes and numbers that no tree of values would keep as they are.
fn payload() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        "\"([a-zé ]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,12}\"",
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let blank = "[ \t\r]{0,2}";
        prop_oneof![
            (blank, prop::collection::vec(inner.clone(), 0..6))
                .prop_map(|(blank, items)| format!("[{blank}{}]", items.join(&format!(",{blank}")))),
            (blank, prop::collection::vec(("[a-c]", inner), 0..6)).prop_map(|(blank, fields)| {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, value)| format!("\"{key}\":{blank}{value}"))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// Pieces of commands, put together without sense.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\ud83d",
        "\n",
        "\r",
        " ",
        "null",
        "1",
        "-1",
        "4294967296",
        "\"id\"",
        "\"id\":1",
        "\"connect\"",
        "\"subscribe\"",
        "\"publish\":{",
        "\"data\"",
        "\"channel\"",
        "\"subs\"",
        "\"ping\":{}",
        "\"c\"",
        "é",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn decoded(frame: &str) -> Result<Vec<Command<'_>>, DecodeError> {
    json::decode(frame).collect()
}

fn terminates(frame: &str) {
    let lines = frame.split('\n').count();
    let items: Vec<_> = json::decode(frame).collect();
    assert!((1..=lines).contains(&items.len()));
    for error in items.iter().filter_map(|item| item.as_ref().err()) {
        assert!(!error.label().is_empty() && !error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn any_text_decodes_or_is_refused(frame in ".*") {
        terminates(&frame);
    }

    #[test]
    fn any_heap_of_fragments_decodes_or_is_refused(frame in fragments()) {
        terminates(&frame);
    }

    #[test]
    fn publish_payloads_survive_untouched(id in 1u32.., channel: String, data in payload()) {
        let frame = format!("{{\"publish\":{{\"data\": {data} ,\"channel\":{}}},\"id\":{id}}}", Value::from(&*channel));
        let data = serde_json::from_str::<Payload<'_>>(&data).ok().filter(|payload| payload.bytes() == data.as_bytes());
        prop_assert!(data.is_some());
        let request = Request::Publish(PublishRequest { channel: channel.into(), data, ..PublishRequest::default() });
        prop_assert_eq!(decoded(&frame), Ok(vec![Command { id, request }]));
    }

    #[test]
    fn pushes_are_one_line_and_keep_payloads(channel: String, data in payload(), offset: u64, time: i64) {
        let publication = Publication { data: data.as_bytes(), offset, time, ..Publication::default() };
        let mut out = Vec::new();
        json::encode_push(&Push::Publication { channel: &channel, publication: &publication }, &mut out);
        let text = String::from_utf8(out).unwrap();
        prop_assert!(!text.contains('\n'));
        let channel_field = if channel.is_empty() { String::new() } else {
            format!("\"channel\":{},", Value::from(channel))
        };
        let offset_field = if offset == 0 { String::new() } else { format!(",\"offset\":{offset}") };
        let time_field = if time == 0 { String::new() } else { format!(",\"time\":{time}") };
        let expected = format!("{{\"push\":{{{channel_field}\"pub\":{{\"data\":{data}{offset_field}{time_field}}}}}}}");
        prop_assert_eq!(text, expected);
    }

    #[test]
    fn single_lines_mean_the_same(data in payload(), breaks in prop::collection::vec("[\n\r]{1,2}", 0..4)) {
        let mut spread = data.clone();
        for (index, line_break) in breaks.iter().enumerate() {
            // Before the first token or after the last one is always between tokens.
            if index % 2 == 0 { spread.insert_str(0, line_break) } else { spread.push_str(line_break) }
        }
        let wrapped = format!("[{spread}]");
        let payload: Payload<'_> = serde_json::from_str(&wrapped).unwrap();
        prop_assert_eq!(payload.json_line().unwrap(), format!("[{}]", data.replace('\r', "")));
    }

    #[test]
    fn subscribes_round_trip(
        id in 1u32.., channel: String, token: String, epoch: String, offset: u64, recover: bool, flag: i64
    ) {
        let frame = json!({"id": id, "subscribe": {
            "channel": channel, "token": token, "epoch": epoch, "offset": offset, "recover": recover, "flag": flag,
        }}).to_string();
        let expected = SubscribeRequest {
            channel: Cow::from(channel),
            token: Cow::from(token),
            epoch: Cow::from(epoch),
            offset,
            recover,
            flag,
            ..Default::default()
        };
        prop_assert_eq!(decoded(&frame), Ok(vec![Command { id, request: Request::Subscribe(expected) }]));
    }

    #[test]
    fn connects_round_trip(
        id in 1u32..,
        token: String,
        headers in prop::collection::btree_map(any::<String>(), any::<String>(), 0..5),
        subs in prop::collection::btree_map(any::<String>(), any::<u64>(), 0..5),
    ) {
        let positions: serde_json::Map<_, _> =
            subs.iter().map(|(channel, offset)| (channel.clone(), json!({"offset": offset}))).collect();
        let frame = json!({"id": id, "connect": {"token": token, "headers": headers, "subs": positions}}).to_string();
        let position = |offset| SubscribeRequest { offset, ..Default::default() };
        let expected = ConnectRequest {
            token: token.into(),
            headers: headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            subs: subs.into_iter().map(|(channel, offset)| (channel.into(), position(offset))).collect(),
            ..Default::default()
        };
        prop_assert_eq!(decoded(&frame), Ok(vec![Command { id, request: Request::Connect(expected) }]));
    }

    #[test]
    fn histories_round_trip(id in 1u32.., channel: String, limit: i32, reverse: bool, since: Option<(u64, String)>) {
        let position = since.as_ref().map(|(offset, epoch)| json!({"offset": offset, "epoch": epoch}));
        let frame = json!({"id": id, "history": {
            "channel": channel, "limit": limit, "reverse": reverse, "since": position,
        }}).to_string();
        let since = since.map(|(offset, epoch)| StreamPosition { offset, epoch: epoch.into() });
        let expected = HistoryRequest { channel: channel.into(), limit, since, reverse };
        prop_assert_eq!(decoded(&frame), Ok(vec![Command { id, request: Request::History(expected) }]));
    }
}
