use super::*;
use crate::client::encode_masked;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const SMALL: Limits = Limits {
    message_size: 16,
    fragments: 4,
};

type Outcome = (Vec<Incoming<'static>>, Option<ProtocolError>);

fn owned(event: Incoming<'_>) -> Incoming<'static> {
    match event {
        Incoming::Text(text) => Incoming::Text(text.into_owned().into()),
        Incoming::Binary(bytes) => Incoming::Binary(bytes.into_owned().into()),
        Incoming::Ping(payload) => Incoming::Ping(payload.into_owned().into()),
        Incoming::Pong => Incoming::Pong,
        Incoming::Close(frame) => Incoming::Close(frame.map(|frame| CloseFrame {
            code: frame.code,
            reason: frame.reason.into_owned().into(),
        })),
    }
}

/// Feeds the wire in chunks through one scratch, as a worker does.
fn feed(decoder: &mut Decoder, wire: &[u8], chunk: usize, limits: &Limits) -> Outcome {
    let mut scratch = vec![0; chunk];
    let mut events = Vec::new();
    for part in wire.chunks(chunk) {
        scratch[..part.len()].copy_from_slice(part);
        let mut input = &mut scratch[..part.len()];
        loop {
            match decoder.next(&mut input, limits, None) {
                Ok(Some(event)) => events.push(owned(event)),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(input.is_empty(), "Ok(None) takes all input");
    }
    (events, None)
}

/// Decodes the wire whole and in every small chunk size; the outcome must be the same.
fn decode(wire: &[u8], limits: &Limits) -> Outcome {
    let outcome = feed(&mut Decoder::default(), wire, wire.len().max(1), limits);
    for chunk in 1..wire.len().min(20) {
        assert_eq!(
            feed(&mut Decoder::default(), wire, chunk, limits),
            outcome,
            "chunks of {chunk}"
        );
    }
    outcome
}

fn events(wire: &[u8], limits: &Limits) -> Vec<Incoming<'static>> {
    let (events, error) = decode(wire, limits);
    assert_eq!(error, None);
    events
}

fn error(wire: &[u8], limits: &Limits) -> ProtocolError {
    let (events, error) = decode(wire, limits);
    assert_eq!(events, []);
    error.expect("must be refused")
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    encode_masked(opcode, payload, KEY)
}

/// A frame without FIN.
fn part(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(opcode, payload);
    frame[0] &= 0x7f;
    frame
}

fn text(text: &'static str) -> Incoming<'static> {
    Incoming::Text(text.into())
}

#[test]
fn a_decoder_is_one_pointer() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
}

#[test]
fn whole_frames_are_borrowed_and_nothing_is_kept() {
    let mut wire = [
        frame(Opcode::Text, b"one"),
        frame(Opcode::Binary, b"two"),
        frame(Opcode::Ping, b"three"),
        frame(Opcode::Close, &[0x03, 0xe8, b'x']),
    ]
    .concat();
    let mut decoder = Decoder::default();
    let mut input = wire.as_mut_slice();
    let limits = Limits::default();
    let mut next = || {
        let event = decoder.next(&mut input, &limits, None);
        assert!(decoder.is_idle());
        event.expect("a valid frame")
    };
    assert!(matches!(next(), Some(Incoming::Text(Cow::Borrowed("one")))));
    assert!(matches!(next(), Some(Incoming::Binary(Cow::Borrowed(b"two")))));
    assert!(matches!(next(), Some(Incoming::Ping(Cow::Borrowed(b"three")))));
    let close = next();
    let Some(Incoming::Close(Some(close))) = close else {
        panic!("not a close frame: {close:?}")
    };
    assert!(matches!(
        close,
        CloseFrame {
            code: 1000,
            reason: Cow::Borrowed("x")
        }
    ));
    assert_eq!(next(), None);
}

#[test]
fn a_tail_is_kept_until_it_is_whole_and_then_released() {
    let wire = frame(Opcode::Text, b"hello");
    for cut in 1..wire.len() {
        let mut decoder = Decoder::default();
        assert_eq!(feed(&mut decoder, &wire[..cut], cut, &SMALL), (vec![], None));
        assert!(!decoder.is_idle());
        assert_eq!(
            feed(&mut decoder, &wire[cut..], wire.len(), &SMALL),
            (vec![text("hello")], None)
        );
        assert!(decoder.is_idle());
    }
}

#[test]
fn a_payload_behind_a_cut_header_is_still_borrowed() {
    let mut wire = frame(Opcode::Text, b"hello");
    let (mut head, mut tail) = wire.split_at_mut(3);
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(&mut head, &SMALL, None), Ok(None));
    let event = decoder.next(&mut tail, &SMALL, None);
    assert!(matches!(event, Ok(Some(Incoming::Text(Cow::Borrowed("hello"))))));
    assert!(decoder.is_idle());
}

#[test]
fn memory_follows_what_arrived_not_what_was_declared() {
    let limits = Limits {
        message_size: 1 << 20,
        ..Limits::default()
    };
    let wire = frame(Opcode::Binary, &vec![1; 1 << 20]);
    let mut decoder = Decoder::default();
    let capacity = |decoder: &Decoder| {
        let message = decoder
            .pending
            .as_ref()
            .and_then(|pending| pending.message.as_ref());
        message.map_or(0, Message::capacity)
    };
    feed(&mut decoder, &wire[..14 + 100], 50, &limits);
    assert!(
        (100..=200).contains(&capacity(&decoder)),
        "{}",
        capacity(&decoder)
    );
    feed(&mut decoder, &wire[114..wire.len() - 1], 1000, &limits);
    assert_eq!(capacity(&decoder), 1 << 20, "never more than the frame needs");
}

#[test]
fn control_frames_come_between_fragments() {
    let wire = [
        part(Opcode::Text, b"a"),
        frame(Opcode::Ping, b"p"),
        part(Opcode::Continuation, b""),
        frame(Opcode::Pong, b"q"),
        frame(Opcode::Continuation, b"b"),
        frame(Opcode::Close, b""),
    ]
    .concat();
    let expected = [
        Incoming::Ping(b"p".into()),
        Incoming::Pong,
        text("ab"),
        Incoming::Close(None),
    ];
    assert_eq!(events(&wire, &SMALL), expected);
}

#[test]
fn empty_messages_are_messages() {
    let wire = [
        frame(Opcode::Text, b""),
        frame(Opcode::Binary, b""),
        part(Opcode::Binary, b""),
        frame(Opcode::Continuation, b""),
    ]
    .concat();
    assert_eq!(
        events(&wire, &SMALL),
        [
            text(""),
            Incoming::Binary(b"".into()),
            Incoming::Binary(b"".into())
        ]
    );
}

#[test]
fn fragments_keep_their_order() {
    let open = part(Opcode::Text, b"a");
    for opcode in [Opcode::Text, Opcode::Binary] {
        let wire = [open.clone(), frame(opcode, b"b")].concat();
        assert_eq!(error(&wire, &SMALL), ProtocolError::InterleavedMessage);
    }
    let orphan = frame(Opcode::Continuation, b"b");
    assert_eq!(error(&orphan, &SMALL), ProtocolError::UnexpectedContinuation);
    let closed = [open, orphan.clone(), orphan].concat();
    let expected = (vec![text("ab")], Some(ProtocolError::UnexpectedContinuation));
    assert_eq!(decode(&closed, &SMALL), expected);
}

#[test]
fn the_size_limit_is_exact_and_judged_by_the_header() {
    let too_big = ProtocolError::MessageTooBig { limit: 16 };
    assert_eq!(
        events(&frame(Opcode::Binary, &[1; 16]), &SMALL),
        [Incoming::Binary(vec![1; 16].into())]
    );
    assert_eq!(error(&frame(Opcode::Binary, &[1; 17])[..6], &SMALL), too_big);
    let huge = [
        0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
    ];
    assert_eq!(error(&huge, &SMALL), too_big);

    let open = part(Opcode::Binary, &[1; 10]);
    let exact = [open.clone(), frame(Opcode::Continuation, &[1; 6])].concat();
    assert_eq!(events(&exact, &SMALL), [Incoming::Binary(vec![1; 16].into())]);
    let over = [open.clone(), frame(Opcode::Continuation, &[1; 7])[..6].to_vec()].concat();
    assert_eq!(error(&over, &SMALL), too_big);
    let control = [open, frame(Opcode::Ping, &[1; 125])].concat();
    assert_eq!(
        events(&control, &SMALL),
        [Incoming::Ping(vec![1; 125].into())],
        "not part of the message"
    );
}

#[test]
fn the_fragment_limit_is_exact() {
    let three = [part(Opcode::Text, b""), part(Opcode::Continuation, b"").repeat(2)].concat();
    let four = [three.clone(), frame(Opcode::Continuation, b"")].concat();
    assert_eq!(events(&four.repeat(2), &SMALL), [text(""), text("")]);
    let five = [three, part(Opcode::Continuation, b"").repeat(2)].concat();
    assert_eq!(error(&five, &SMALL), ProtocolError::TooManyFragments { limit: 4 });
}

#[test]
fn text_is_utf8_also_across_fragments() {
    let cut_in_a_character = [
        part(Opcode::Text, b"\xe2\x82"),
        frame(Opcode::Continuation, b"\xac"),
    ]
    .concat();
    assert_eq!(events(&cut_in_a_character, &SMALL), [text("€")]);
    assert_eq!(
        error(&frame(Opcode::Text, b"\xe2\x82"), &SMALL),
        ProtocolError::InvalidUtf8
    );
    let unfinished = [part(Opcode::Text, b"\xe2\x82"), frame(Opcode::Continuation, b"")].concat();
    assert_eq!(error(&unfinished, &SMALL), ProtocolError::InvalidUtf8);
    assert_eq!(
        events(&frame(Opcode::Binary, b"\xff"), &SMALL),
        [Incoming::Binary(b"\xff".into())]
    );
}

/// As Autobahn's cases 6.3 and 6.4 want it: the error comes with the first byte that cannot be right.
#[test]
fn invalid_text_fails_before_its_frame_or_message_ends() {
    let surrogate = b"ab\xed\xa0";
    assert_eq!(
        error(&part(Opcode::Text, surrogate), &SMALL),
        ProtocolError::InvalidUtf8
    );
    let wire = frame(Opcode::Text, b"ab\xf4\x90\x80\x80cd");
    assert_eq!(events(&wire[..6 + 3], &SMALL), []);
    assert_eq!(error(&wire[..6 + 4], &SMALL), ProtocolError::InvalidUtf8);
}

#[test]
fn header_errors_come_through_in_every_state() {
    let unmasked = [0x81, 1, b'x'];
    assert_eq!(error(&unmasked, &SMALL), ProtocolError::Unmasked);
    let inside = [part(Opcode::Text, b"a"), unmasked.to_vec()].concat();
    assert_eq!(error(&inside, &SMALL), ProtocolError::Unmasked);
}

#[test]
fn close_payloads_are_checked_in_every_state() {
    let half = frame(Opcode::Close, b"\x03");
    assert_eq!(error(&half, &SMALL), ProtocolError::InvalidClosePayload);
    let inside = [part(Opcode::Text, b"a"), frame(Opcode::Close, b"\x03\xec")].concat();
    assert_eq!(error(&inside, &SMALL), ProtocolError::InvalidCloseCode(1004));
    let reason = frame(Opcode::Close, b"\x0b\xb8bye");
    let expected = CloseFrame {
        code: 3000,
        reason: "bye".into(),
    };
    assert_eq!(events(&reason, &SMALL), [Incoming::Close(Some(expected))]);
}

#[test]
fn errors_name_their_close_code() {
    assert_eq!(ProtocolError::Unmasked.close_code(), 1002);
    assert_eq!(ProtocolError::InvalidClosePayload.close_code(), 1002);
    assert_eq!(ProtocolError::InvalidUtf8.close_code(), 1007);
    assert_eq!(ProtocolError::TooManyFragments { limit: 1 }.close_code(), 1008);
    assert_eq!(ProtocolError::MessageTooBig { limit: 1 }.close_code(), 1009);
}

/// "Hello" compressed (RFC 7692 section 7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn first_of(compressed: &[u8], fin: bool) -> Vec<u8> {
    let mut frame = encode_masked(Opcode::Text, compressed, KEY);
    frame[0] |= 0x40;
    if !fin {
        frame[0] &= 0x7f;
    }
    frame
}

fn inflating(mut wire: Vec<u8>, limits: &Limits) -> Result<Vec<Incoming<'static>>, ProtocolError> {
    let (mut decoder, mut inflater) = (Decoder::default(), Inflater::default());
    let (mut input, mut events) = (&mut wire[..], Vec::new());
    while let Some(event) = decoder.next(&mut input, limits, Some(&mut inflater))? {
        events.push(owned(event));
    }
    Ok(events)
}

#[test]
fn a_compressed_message_may_come_in_fragments() {
    let wire = [
        first_of(&HELLO[..3], false),
        encode_masked(Opcode::Ping, b"", KEY),
        encode_masked(Opcode::Continuation, &HELLO[3..], KEY),
        first_of(&HELLO, true),
        encode_masked(Opcode::Text, b"plain", KEY),
    ];
    let hello = || Incoming::Text("Hello".into());
    let expected = vec![
        Incoming::Ping(Vec::new().into()),
        hello(),
        hello(),
        Incoming::Text("plain".into()),
    ];
    // The limit is that of what was said; a compressed message may come a little longer.
    let limits = Limits {
        message_size: 5,
        fragments: 2,
    };
    let events = inflating(wire.concat(), &limits);
    // The ping comes before the rest of the message.
    assert_eq!(events, Ok(expected));
    let short = Limits {
        message_size: 4,
        ..limits
    };
    let too_big = Err(ProtocolError::MessageTooBig { limit: 4 });
    assert_eq!(inflating(first_of(&HELLO, true), &short), too_big);
    assert_eq!(
        inflating(first_of(&[0; 70], false), &short),
        too_big,
        "by what is declared"
    );
}

#[test]
fn a_compressed_message_needs_an_agreement() {
    assert_eq!(
        decode(&first_of(&HELLO, true), &SMALL).1,
        Some(ProtocolError::ReservedBits)
    );
    let mut late = encode_masked(Opcode::Continuation, b"", KEY);
    late[0] |= 0x40;
    for (wire, error) in [
        (
            [first_of(&HELLO, false), late].concat(),
            ProtocolError::ReservedBits,
        ),
        (
            [first_of(&HELLO, false), first_of(&HELLO, true)].concat(),
            ProtocolError::InterleavedMessage,
        ),
        (first_of(&HELLO[..6], true), ProtocolError::InvalidDeflate),
        // A byte that begins no character, in a block without compression.
        (
            first_of(&[0, 1, 0, 0xfe, 0xff, 0xff, 0], true),
            ProtocolError::InvalidUtf8,
        ),
    ] {
        assert_eq!(inflating(wire, &SMALL), Err(error));
    }
}
