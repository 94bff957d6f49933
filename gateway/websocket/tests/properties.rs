//! Properties of the decoder that must hold for every client and every way a network cuts its bytes.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use natter_websocket::client::encode_masked;
use natter_websocket::{Decoder, Deflater, Incoming, Inflater, Limits, Opcode, ProtocolError, WINDOW_BITS};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMITS: Limits = Limits {
    message_size: 4096,
    fragments: 64,
};

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<(u16, String)>),
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.into_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.into_owned()),
            Incoming::Ping(payload) => Self::Ping(payload.into_owned()),
            Incoming::Pong => Self::Pong,
            Incoming::Close(frame) => Self::Close(frame.map(|frame| (frame.code, frame.reason.into_owned()))),
        }
    }
}

/// What a client sends: messages with the places where they are cut into fragments, and control frames.
#[derive(Clone, Debug)]
struct Sent {
    event: Event,
    cuts: Vec<Index>,
    key: [u8; 4],
    /// Level of compression; 0 compresses nothing but says so, `None` does not.
    level: Option<u32>,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        ".{0,60}".prop_map(Event::Text),
        vec(any::<u8>(), 0..600).prop_map(Event::Binary),
        vec(any::<u8>(), 0..=125).prop_map(Event::Ping),
        Just(Event::Pong),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let fields = (
        event(),
        vec(any::<Index>(), 0..4),
        any::<[u8; 4]>(),
        prop::option::of(0_u32..10),
    );
    fields.prop_map(|(event, cuts, key, level)| Sent {
        event,
        cuts,
        key,
        level,
    })
}

/// The widest window that zlib has.
const WIDEST: u8 = 15;

/// A compressed message as zlib makes it.
fn deflate(payload: &[u8], level: u32, window_bits: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * payload.len() + 64);
    let mut state = Compress::new_with_window_bits(Compression::new(level), false, window_bits);
    let status = state.compress_vec(payload, &mut bytes, FlushCompress::Sync);
    assert!(status.is_ok() && bytes.ends_with(&[0, 0, 0xff, 0xff]));
    bytes.truncate(bytes.len() - 4);
    bytes
}

/// Writes one message as frames, with `between` after every fragment but the last.
fn write(wire: &mut Vec<u8>, sent: &Sent, between: &[u8]) {
    let (opcode, payload) = match &sent.event {
        Event::Text(text) => (Opcode::Text, text.as_bytes()),
        Event::Binary(bytes) => (Opcode::Binary, bytes.as_slice()),
        Event::Ping(payload) => return wire.extend(encode_masked(Opcode::Ping, payload, sent.key)),
        Event::Pong => return wire.extend(encode_masked(Opcode::Pong, b"unasked", sent.key)),
        Event::Close(_) => return,
    };
    let deflated = sent.level.map(|level| deflate(payload, level, WIDEST));
    let payload = deflated.as_deref().unwrap_or(payload);
    let mut cuts: Vec<usize> = sent.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    for (index, end) in cuts.iter().copied().chain([payload.len()]).enumerate() {
        let opcode = if index == 0 { opcode } else { Opcode::Continuation };
        let mut frame = encode_masked(opcode, &payload[start..end], sent.key);
        if index == 0 && deflated.is_some() {
            frame[0] |= 0x40;
        }
        if index < cuts.len() {
            frame[0] &= 0x7f;
            frame.extend_from_slice(between);
        }
        wire.extend(frame);
        start = end;
    }
}

/// Feeds the wire in chunks of the given sizes, over and over, through one scratch.
fn decode(decoder: &mut Decoder, mut wire: &[u8], sizes: &[usize]) -> (Vec<Event>, Option<ProtocolError>) {
    let mut inflater = Inflater::default();
    let mut scratch = vec![0; wire.len().max(1)];
    let mut events = Vec::new();
    for size in sizes.iter().cycle() {
        if wire.is_empty() {
            break;
        }
        let (chunk, rest) = wire.split_at((*size).clamp(1, wire.len()));
        wire = rest;
        let mut input = &mut scratch[..chunk.len()];
        input.copy_from_slice(chunk);
        loop {
            match decoder.next(&mut input, &LIMITS, Some(&mut inflater)) {
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(input.is_empty(), "all input is taken");
    }
    (events, None)
}

/// The outcome of the wire must not depend on how it is cut.
fn assert_chunking_changes_nothing(wire: &[u8], sizes: &[usize]) {
    let whole = decode(&mut Decoder::default(), wire, &[usize::MAX]);
    assert_eq!(decode(&mut Decoder::default(), wire, &[1]), whole, "byte by byte");
    assert_eq!(
        decode(&mut Decoder::default(), wire, sizes),
        whole,
        "in random chunks"
    );
}

/// The frame holds what zlib makes of the text, and zlib reads it; there is none exactly where that is not shorter.
fn assert_compressed_as_by_zlib(text: &str, level: u8) {
    let deflated = deflate(text.as_bytes(), level.into(), WINDOW_BITS);
    let Some(frame) = Deflater::new(level).encode(Opcode::Text, text.as_bytes()) else {
        assert!(deflated.len() >= text.len(), "{text:?} was left alone");
        return;
    };
    let start = if frame[1] < 126 { 2 } else { 4 };
    assert_eq!((frame[0], &frame[start..]), (0xc1, &*deflated));
    assert!(deflated.len() < text.len(), "{text:?} became no shorter");
    let whole = [&deflated, &[0, 0, 0xff, 0xff][..]].concat();
    let mut back = Vec::with_capacity(text.len() + 1);
    let status = Decompress::new_with_window_bits(false, WINDOW_BITS).decompress_vec(
        &whole,
        &mut back,
        FlushDecompress::Sync,
    );
    assert!(status.is_ok() && back == text.as_bytes(), "{text:?}: {status:?}");
}

/// 64 bytes that are no shorter at the fastest level.
#[test]
fn short_words_without_repetition_are_left_alone() {
    let words = "aaaaab aaabc aabd e a a baaa aac abaaca acaba b abbad aa bba caa";
    assert_compressed_as_by_zlib(words, 1);
    assert_eq!(Deflater::new(1).encode(Opcode::Text, words.as_bytes()), None);
}

proptest! {
    #[test]
    fn messages_come_out_as_they_were_sent(
        messages in vec(sent(), 0..12),
        sizes in vec(1_usize..300, 1..20),
        control in prop::option::of(vec(any::<u8>(), 0..=125)),
    ) {
        let between = control.as_ref().map(|payload| encode_masked(Opcode::Ping, payload, [9, 8, 7, 6]));
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for sent in &messages {
            write(&mut wire, sent, between.as_deref().unwrap_or_default());
            if let (Event::Text(_) | Event::Binary(_), Some(payload)) = (&sent.event, &control) {
                expected.extend(sent.cuts.iter().map(|_| Event::Ping(payload.clone())));
            }
            expected.push(sent.event.clone());
        }
        for sizes in [sizes.as_slice(), &[1], &[usize::MAX]] {
            let mut decoder = Decoder::default();
            prop_assert_eq!(decode(&mut decoder, &wire, sizes), (expected.clone(), None));
            prop_assert!(decoder.is_idle(), "nothing is kept after whole messages");
        }
    }

    #[test]
    fn compressed_frames_are_what_zlib_makes(
        words in vec("[a-f]{1,6}", 0..400),
        level in 1_u8..=9,
    ) {
        assert_compressed_as_by_zlib(&words.join(" "), level);
    }

    #[test]
    fn random_bytes_never_panic(wire in vec(any::<u8>(), 0..400), sizes in vec(1_usize..40, 1..8)) {
        assert_chunking_changes_nothing(&wire, &sizes);
    }

    /// Damages valid traffic, as plain random bytes seldom get past the first header.
    #[test]
    fn damaged_frames_never_panic(
        messages in vec(sent(), 1..6),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        sizes in vec(1_usize..40, 1..8),
    ) {
        let mut wire = Vec::new();
        for sent in &messages {
            write(&mut wire, sent, &encode_masked(Opcode::Close, b"\x03\xe8bye", [0; 4]));
        }
        for (index, byte) in damage {
            let index = index.index(wire.len());
            wire[index] = byte;
        }
        assert_chunking_changes_nothing(&wire, &sizes);
    }
}
