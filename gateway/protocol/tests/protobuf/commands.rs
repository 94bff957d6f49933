//! What prost writes, the codec reads.

use std::borrow::Cow;

use natter_protocol::{
    ChannelRequest, Command, ConnectRequest, DecodeError, FilterNode, HistoryRequest, Payload,
    PublishRequest, RefreshRequest, Request, RpcRequest, SendRequest, StreamPosition, SubRefreshRequest,
    SubscribeRequest, UnsubscribeRequest, protobuf,
};
use proptest::{collection, option, prelude::*};
use prost::Message;

use super::mirror;

pub(super) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..300)
}

fn subscribe() -> impl Strategy<Value = mirror::SubscribeRequest> {
    let texts = any::<[String; 4]>();
    let flags = any::<[bool; 4]>();
    (
        texts,
        flags,
        any::<u64>(),
        any::<i64>(),
        bytes(),
        option::of(filter()),
    )
        .prop_map(
            |([channel, token, epoch, delta], flags, offset, flag, data, tf)| {
                let [recover, positioned, recoverable, join_leave] = flags;
                mirror::SubscribeRequest {
                    channel,
                    token,
                    recover,
                    epoch,
                    offset,
                    data,
                    positioned,
                    recoverable,
                    join_leave,
                    delta,
                    tf,
                    flag,
                }
            },
        )
}

fn filter() -> impl Strategy<Value = mirror::FilterNode> {
    let node = (any::<[String; 4]>(), collection::vec(any::<String>(), 0..4));
    let leaf = node.prop_map(|([op, key, cmp, val], vals)| mirror::FilterNode {
        op,
        key,
        cmp,
        val,
        vals,
        nodes: Vec::new(),
    });
    leaf.prop_recursive(4, 16, 4, |inner| {
        (any::<String>(), collection::vec(inner, 0..4)).prop_map(|(op, nodes)| mirror::FilterNode {
            op,
            nodes,
            ..mirror::FilterNode::default()
        })
    })
}

fn connect() -> impl Strategy<Value = mirror::ConnectRequest> {
    let subs = collection::btree_map(any::<String>(), subscribe(), 0..4);
    let headers = collection::btree_map(any::<String>(), any::<String>(), 0..4);
    (any::<[String; 3]>(), bytes(), subs, headers, any::<i64>()).prop_map(
        |([token, name, version], data, subs, headers, flag)| mirror::ConnectRequest {
            token,
            data,
            subs,
            name,
            version,
            headers,
            flag,
        },
    )
}

fn history() -> impl Strategy<Value = mirror::HistoryRequest> {
    let since = option::of(any::<(u64, String)>());
    (any::<String>(), any::<i32>(), since, any::<bool>()).prop_map(|(channel, limit, since, reverse)| {
        mirror::HistoryRequest {
            channel,
            limit,
            since: since.map(|(offset, epoch)| mirror::StreamPosition { offset, epoch }),
            reverse,
        }
    })
}

/// A command with one request.
fn command() -> impl Strategy<Value = mirror::Command> {
    let channel = || any::<String>().prop_map(|channel| Some(mirror::ChannelRequest { channel }));
    let command = mirror::Command::default;
    let request = prop_oneof![
        connect().prop_map(move |connect| mirror::Command {
            connect: Some(connect),
            ..command()
        }),
        subscribe().prop_map(move |subscribe| mirror::Command {
            subscribe: Some(subscribe),
            ..command()
        }),
        channel().prop_map(move |unsubscribe| mirror::Command {
            unsubscribe,
            ..command()
        }),
        (any::<[String; 2]>(), bytes()).prop_map(move |([channel, idempotency_key], data)| {
            let publish = mirror::PublishRequest {
                channel,
                data,
                idempotency_key,
            };
            mirror::Command {
                publish: Some(publish),
                ..command()
            }
        }),
        channel().prop_map(move |presence| mirror::Command {
            presence,
            ..command()
        }),
        channel().prop_map(move |presence_stats| mirror::Command {
            presence_stats,
            ..command()
        }),
        history().prop_map(move |history| mirror::Command {
            history: Some(history),
            ..command()
        }),
        Just(mirror::Command {
            ping: Some(mirror::Empty {}),
            ..command()
        }),
        bytes().prop_map(move |data| mirror::Command {
            send: Some(mirror::Data { data }),
            ..command()
        }),
        (bytes(), any::<String>()).prop_map(move |(data, method)| {
            mirror::Command {
                rpc: Some(mirror::RpcRequest { data, method }),
                ..command()
            }
        }),
        any::<String>().prop_map(move |token| {
            mirror::Command {
                refresh: Some(mirror::RefreshRequest { token }),
                ..command()
            }
        }),
        any::<[String; 2]>().prop_map(move |[channel, token]| {
            mirror::Command {
                sub_refresh: Some(mirror::SubRefreshRequest { channel, token }),
                ..command()
            }
        }),
    ];
    (1u32.., request).prop_map(|(id, command)| mirror::Command { id, ..command })
}

fn payload(data: &[u8]) -> Option<Payload<'_>> {
    (!data.is_empty()).then_some(Payload::Bytes(data))
}

fn expected_filter(node: &mirror::FilterNode) -> FilterNode<'_> {
    FilterNode {
        op: Cow::from(&node.op),
        key: Cow::from(&node.key),
        cmp: Cow::from(&node.cmp),
        val: Cow::from(&node.val),
        vals: node.vals.iter().map(Cow::from).collect(),
        nodes: node.nodes.iter().map(expected_filter).collect(),
    }
}

fn expected_subscribe(request: &mirror::SubscribeRequest) -> SubscribeRequest<'_> {
    SubscribeRequest {
        channel: Cow::from(&request.channel),
        token: Cow::from(&request.token),
        recover: request.recover,
        epoch: Cow::from(&request.epoch),
        offset: request.offset,
        data: payload(&request.data),
        positioned: request.positioned,
        recoverable: request.recoverable,
        join_leave: request.join_leave,
        delta: Cow::from(&request.delta),
        tf: request.tf.as_ref().map(expected_filter),
        flag: request.flag,
    }
}

fn expected_connect(request: &mirror::ConnectRequest) -> ConnectRequest<'_> {
    ConnectRequest {
        token: Cow::from(&request.token),
        data: payload(&request.data),
        subs: request
            .subs
            .iter()
            .map(|(channel, request)| (Cow::from(channel), expected_subscribe(request)))
            .collect(),
        name: Cow::from(&request.name),
        version: Cow::from(&request.version),
        headers: request
            .headers
            .iter()
            .map(|(name, value)| (Cow::from(name), Cow::from(value)))
            .collect(),
    }
}

fn expected(command: &mirror::Command) -> Command<'_> {
    let channel = |request: &'_ mirror::ChannelRequest| request.channel.clone();
    let requests = [
        command
            .connect
            .as_ref()
            .map(|request| Request::Connect(expected_connect(request))),
        command
            .subscribe
            .as_ref()
            .map(|request| Request::Subscribe(expected_subscribe(request))),
        command.unsubscribe.as_ref().map(|request| {
            Request::Unsubscribe(UnsubscribeRequest {
                channel: channel(request).into(),
            })
        }),
        command.publish.as_ref().map(|request| {
            Request::Publish(PublishRequest {
                channel: Cow::from(&request.channel),
                data: payload(&request.data),
                idempotency_key: Cow::from(&request.idempotency_key),
            })
        }),
        command.presence.as_ref().map(|request| {
            Request::Presence(ChannelRequest {
                channel: channel(request).into(),
            })
        }),
        command.presence_stats.as_ref().map(|request| {
            Request::PresenceStats(ChannelRequest {
                channel: channel(request).into(),
            })
        }),
        command.history.as_ref().map(|request| {
            Request::History(HistoryRequest {
                channel: Cow::from(&request.channel),
                limit: request.limit,
                since: request.since.as_ref().map(|since| StreamPosition {
                    offset: since.offset,
                    epoch: Cow::from(&since.epoch),
                }),
                reverse: request.reverse,
            })
        }),
        command.ping.as_ref().map(|_| Request::Ping),
        command.send.as_ref().map(|request| {
            Request::Send(SendRequest {
                data: payload(&request.data),
            })
        }),
        command.rpc.as_ref().map(|request| {
            Request::Rpc(RpcRequest {
                data: payload(&request.data),
                method: Cow::from(&request.method),
            })
        }),
        command.refresh.as_ref().map(|request| {
            Request::Refresh(RefreshRequest {
                token: Cow::from(&request.token),
            })
        }),
        command.sub_refresh.as_ref().map(|request| {
            Request::SubRefresh(SubRefreshRequest {
                channel: Cow::from(&request.channel),
                token: Cow::from(&request.token),
            })
        }),
    ];
    let request = requests.into_iter().flatten().next().unwrap_or(Request::Pong);
    Command {
        id: command.id,
        request,
    }
}

pub(super) fn decoded(frame: &[u8]) -> Vec<Result<Command<'_>, DecodeError>> {
    protobuf::decode(frame).collect()
}

proptest! {
    #[test]
    fn every_command_is_read(command in command()) {
        let frame = command.encode_length_delimited_to_vec();
        prop_assert_eq!(decoded(&frame), [Ok(expected(&command))]);
    }

    #[test]
    fn the_commands_of_a_frame_are_read_in_order(commands in collection::vec(command(), 1..5)) {
        let mut frame = Vec::new();
        for command in &commands {
            command.encode_length_delimited(&mut frame).unwrap();
        }
        let expected: Vec<_> = commands.iter().map(|command| Ok(expected(command))).collect();
        prop_assert_eq!(decoded(&frame), expected);
    }
}

#[test]
fn text_and_bytes_are_borrowed() {
    let publish = mirror::PublishRequest {
        channel: "c".to_owned(),
        data: b"x".to_vec(),
        ..mirror::PublishRequest::default()
    };
    let command = mirror::Command {
        id: 1,
        publish: Some(publish),
        ..mirror::Command::default()
    };
    let frame = command.encode_length_delimited_to_vec();
    let Some(Ok(Command {
        request: Request::Publish(request),
        ..
    })) = protobuf::decode(&frame).next()
    else {
        panic!("a publish");
    };
    assert!(matches!(request.channel, Cow::Borrowed("c")));
    let data = request.data.map(Payload::bytes).unwrap();
    assert!(frame.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn pongs_and_their_place_in_a_frame() {
    let pong = || {
        Ok(Command {
            id: 0,
            request: Request::Pong,
        })
    };
    assert_eq!(decoded(&[0]), [pong()]);
    assert_eq!(decoded(&[0, 0]), [pong(), pong()]);
    // The id 0 as a field, then an unknown field.
    assert_eq!(decoded(&[2, 0x08, 0x00]), [pong()]);
    assert_eq!(decoded(&[3, 0xa2, 0x06, 0x00]), [pong()]);
}

#[test]
fn fields_that_are_there_twice_follow_the_rules_of_protobuf() {
    let request = |bytes: &[u8]| {
        let mut frame = vec![u8::try_from(bytes.len()).unwrap()];
        frame.extend(bytes);
        let mut commands = protobuf::decode(&frame).map(|command| format!("{command:?}"));
        commands.next().unwrap()
    };
    // The id, and the channel of a presence request: the last counts.
    assert_eq!(
        request(&[8, 1, 8, 2, 0x42, 6, 10, 1, b'a', 10, 1, b'b']),
        request(&[8, 2, 0x42, 3, 10, 1, b'b'])
    );
    // `since` of a history request: both are merged.
    assert_eq!(
        request(&[8, 1, 0x52, 9, 0x42, 2, 8, 7, 0x42, 3, 18, 1, b'e']),
        request(&[8, 1, 0x52, 7, 0x42, 5, 8, 7, 18, 1, b'e'])
    );
}

#[test]
fn rules_that_span_a_command() {
    let channel = || Some(mirror::ChannelRequest { channel: "c".into() });
    let send = || Some(mirror::Data { data: b"x".to_vec() });
    let command = mirror::Command::default;
    let rows = [
        (
            Some("missing_id"),
            mirror::Command {
                presence: channel(),
                ..command()
            },
        ),
        (
            Some("missing_id"),
            mirror::Command {
                ping: Some(mirror::Empty {}),
                ..command()
            },
        ),
        (Some("unknown_command"), mirror::Command { id: 1, ..command() }),
        (
            Some("ambiguous"),
            mirror::Command {
                id: 1,
                presence: channel(),
                unsubscribe: channel(),
                ..command()
            },
        ),
        (
            Some("ambiguous"),
            mirror::Command {
                presence: channel(),
                send: send(),
                ..command()
            },
        ),
        (
            None,
            mirror::Command {
                send: send(),
                ..command()
            },
        ),
        (
            None,
            mirror::Command {
                id: u32::MAX,
                presence: channel(),
                ..command()
            },
        ),
    ];
    for (label, command) in rows {
        let frame = command.encode_length_delimited_to_vec();
        let found: Vec<_> = protobuf::decode(&frame)
            .map(|item| item.err().map(DecodeError::label))
            .collect();
        assert_eq!(found, [label], "{command:?}");
    }
    // The same request twice: Protobuf would merge them, but a command asks one thing.
    let twice = [6, 8, 1, 0x42, 0, 0x42, 0];
    assert_eq!(decoded(&twice), [Err(DecodeError::Ambiguous)]);
}
