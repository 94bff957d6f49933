//! Bytes that are no commands end in an error, whatever they are, at once and without taking much memory.

use natter_protocol::{Command, DecodeError, Payload, PublishRequest, Request, protobuf};
use proptest::{collection, prelude::*};
use prost::Message;

use super::{commands::decoded, filters, mirror};

/// `body` as a field, or as a command without `key`, behind its length.
pub(super) fn delimited(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = key.to_vec();
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend(body);
    out
}

/// A frame with one command: the id 1 and a request, given by its key, with these fields.
pub(super) fn command(key: u8, request: &[u8]) -> Vec<u8> {
    delimited(&[], &[vec![8, 1], delimited(&[key], request)].concat())
}

/// A publish command whose request holds these bytes behind its channel.
fn publish_with(rest: &[u8]) -> Vec<u8> {
    command(0x3a, &[&[10, 1, b'c'], rest].concat())
}

fn publish(data: Option<Payload<'_>>) -> Command<'_> {
    let request = PublishRequest {
        channel: "c".into(),
        data,
        ..PublishRequest::default()
    };
    Command {
        id: 1,
        request: Request::Publish(request),
    }
}

/// The labels of errors, nothing for commands.
pub(super) fn labels(frame: &[u8]) -> Vec<Option<&'static str>> {
    protobuf::decode(frame)
        .map(|item| item.err().map(DecodeError::label))
        .collect()
}

#[test]
fn what_is_refused_and_why() {
    let rows: [(&str, &[u8]); 26] = [
        ("empty", &[]),
        // The length: cut off, never ending, over 64 bits, more than there is.
        ("length", &[0x80]),
        ("length", &[0xff; 9]),
        ("length", &[0xff; 64]),
        (
            "length",
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
        (
            "length",
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0],
        ),
        ("length", &[0x05, 8, 1, 0x42, 0]),
        ("length", b"{\"id\":1,\"ping\":{}}"),
        // A key: cut off, of field 0, of a type that there is not, over 32 bits.
        ("wire", &[1, 0x80]),
        ("wire", &[2, 0x00, 0x01]),
        ("wire", &[2, 0x0e, 0x01]),
        ("wire", &[2, 0x0f, 0x01]),
        ("wire", &[7, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00]),
        // A number that never ends in the command, one that is cut off, a request longer than its command.
        (
            "wire",
            &[11, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ),
        ("wire", &[2, 8, 0x80]),
        ("wire", &[4, 8, 1, 0x42, 1]),
        ("wire", &[3, 0x42, 0xff, 0x7f]),
        // Fixed numbers and groups that are cut off, an end without a group, the end of another one.
        ("wire", &[5, 0x41, 0, 0, 0, 0]),
        ("wire", &[3, 0x45, 0, 0]),
        ("wire", &[1, 0xa3]),
        ("wire", &[1, 0x44]),
        ("wire", &[2, 0x43, 0x4c]),
        // Wrong types: the id as text, a request as a number, a request as a group; an id over 32 bits.
        ("field", &[2, 0x0a, 0]),
        ("field", &[2, 0x20, 1]),
        ("field", &[2, 0x23, 0x24]),
        ("field", &[6, 8, 0x80, 0x80, 0x80, 0x80, 0x10]),
    ];
    for (expected, frame) in rows {
        assert_eq!(labels(frame), [Some(expected)], "{frame:?}");
    }
}

#[test]
fn what_is_refused_inside_a_request() {
    let rows: [(&str, &[u8]); 8] = [
        ("wire", &[0x12, 0x05, b'x']),
        ("wire", &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("wire", &[0x12]),
        ("field", &[0x10, 1]),
        ("field", &[0x15, 0, 0, 0, 0]),
        ("text", &[10, 1, 0xff]),
        ("text", &[10, 3, 0xed, 0xa0, 0x80]),
        ("text", &[10, 2, 0xc0, 0x80]),
    ];
    for (expected, rest) in rows {
        assert_eq!(labels(&publish_with(rest)), [Some(expected)], "{rest:?}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let history = |limit: &[u8]| labels(&command(0x52, &[&[0x38], limit].concat()));
    let (largest, smallest) = (
        [0xff, 0xff, 0xff, 0xff, 0x07],
        [0x80, 0x80, 0x80, 0x80, 0xf8, 0xff, 0xff, 0xff, 0xff, 1],
    );
    assert_eq!(history(&largest), [None]);
    assert_eq!(history(&[0x80, 0x80, 0x80, 0x80, 0x08]), [Some("field")]);
    assert_eq!(history(&smallest), [None]);
    assert_eq!(
        history(&[0xff, 0xff, 0xff, 0xff, 0xf7, 0xff, 0xff, 0xff, 0xff, 1]),
        [Some("field")]
    );
}

#[test]
fn an_error_says_where_and_repeats_nothing() {
    let errors = [
        (
            decoded(&[0, 0, 9, 8]),
            "length of the command at byte 2 reaches beyond the frame",
        ),
        (decoded(&[0, 0, 1, 8]), "malformed Protobuf field at byte 3"),
        (
            decoded(&[0, 0, 2, 10, 0]),
            "wrong type or value out of range in the Protobuf field at byte 3",
        ),
        (
            decoded(&[0, 0, 5, 0x42, 3, 10, 1, 0xff]),
            "text that is not UTF-8 in the Protobuf field at byte 5",
        ),
    ];
    for (items, expected) in errors {
        assert_eq!(items[2].as_ref().unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_bad_command_does_not_hide_the_others_but_a_bad_length_does() {
    let bad_command = [0, 1, 0x80, 0];
    let found: Vec<_> = protobuf::decode(&bad_command).map(|item| item.is_ok()).collect();
    assert_eq!(found, [true, false, true]);
    let bad_length = [0, 9, 0];
    assert_eq!(decoded(&bad_length)[1..], [Err(DecodeError::Length { at: 1 })]);
}

#[test]
fn unknown_fields_of_every_type_are_skipped() {
    let rest = [
        &[0x98, 0x06, 0xff, 0xff, 0x03][..],            // a number
        &[0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],          // 64 bits
        &[0x9a, 0x06, 2, 0xff, 0xff],                   // bytes
        &[0x9b, 0x06, 0x08, 1, 0x0b, 0x0c, 0x9c, 0x06], // a group with a number and a group
        &[0x9d, 0x06, 1, 2, 3, 4],                      // 32 bits
        &[0x12, 1, b'x'],
    ];
    assert_eq!(
        decoded(&publish_with(&rest.concat())),
        [Ok(publish(Some(Payload::Bytes(b"x"))))]
    );
}

#[test]
fn empty_data_is_absent() {
    assert_eq!(decoded(&publish_with(&[0x12, 0])), [Ok(publish(None))]);
}

/// Groups in groups, and messages in messages, as deep as a frame of 64 KiB has room for.
#[test]
fn any_depth_of_nesting_ends_on_a_small_stack() {
    let test = || {
        let unclosed = [0x9b, 0x06].repeat(16_000);
        assert_eq!(labels(&publish_with(&unclosed)), [Some("wire")]);
        let (open, close) = ([0x0b].repeat(32_000), [0x0c].repeat(32_000));
        assert_eq!(labels(&publish_with(&[open, close].concat())), [Some("wire")]);
        let (open, close) = ([0x1b].repeat(50), [0x1c].repeat(50));
        assert_eq!(
            decoded(&publish_with(&[open, close].concat())),
            [Ok(publish(None))]
        );
        assert_eq!(labels(&filters::nested(10_000)), [None]);
    };
    std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
}

/// A frame yields at most one item a byte, each an error that can be named or a command.
fn terminates(frame: &[u8]) {
    let items = decoded(frame);
    assert!((1..=frame.len().max(1)).contains(&items.len()));
    for error in items.iter().filter_map(|item| item.as_ref().err()) {
        assert!(!error.label().is_empty() && !error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(frame in collection::vec(any::<u8>(), 0..200)) {
        terminates(&frame);
    }

    #[test]
    fn any_bytes_in_a_request_decode_or_are_refused(rest in collection::vec(any::<u8>(), 0..200)) {
        terminates(&publish_with(&rest));
        terminates(&filters::subscribe_with(&rest));
    }

    /// Every command that is cut off is refused, and no byte too many is read from one that is not.
    #[test]
    fn what_is_cut_off_is_refused(data in collection::vec(any::<u8>(), 0..200), cut: prop::sample::Index) {
        let publish = mirror::PublishRequest { channel: "c".into(), data, ..mirror::PublishRequest::default() };
        let frame = mirror::Command { id: 1, publish: Some(publish), ..mirror::Command::default() }
            .encode_length_delimited_to_vec();
        let cut = cut.index(frame.len());
        let expected = if cut == 0 { DecodeError::Empty } else { DecodeError::Length { at: 0 } };
        prop_assert_eq!(decoded(&frame[..cut]), [Err(expected)]);
    }
}
