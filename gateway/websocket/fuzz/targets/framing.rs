//! Bytes of a client, cut in different ways: no panic, and the same events or the same error for every cut.
//!
//! The first four bytes of an input are sizes of chunks, used in turn; the rest is what the client sends, once to a
//! gateway that agreed on compression and once to one that did not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use natter_websocket::{Decoder, Incoming, Inflater, Limits, ProtocolError};

/// Small, so that the fuzzer reaches them.
const LIMITS: Limits = Limits {
    message_size: 300,
    fragments: 6,
};

fuzz_target!(|data: &[u8]| {
    let Some((sizes, wire)) = data.split_first_chunk::<4>() else {
        return;
    };
    let sizes = sizes.map(usize::from);
    let plain = decode_alike(wire, &sizes, &mut None);
    let compressed = decode_alike(wire, &sizes, &mut Some(Inflater::default()));
    if plain.1 != Some(ProtocolError::ReservedBits) {
        assert_eq!(compressed, plain, "an agreement changes nothing of what is not compressed");
    }
});

/// What comes of the wire, which must be the same however it is cut.
fn decode_alike(wire: &[u8], sizes: &[usize], inflater: &mut Option<Inflater>) -> Outcome {
    let whole = decode(wire, &[usize::MAX], inflater);
    assert_eq!(decode(wire, &[1], inflater), whole, "byte by byte");
    assert_eq!(decode(wire, sizes, inflater), whole, "in chunks of {sizes:?}");
    whole
}

/// The events as text: comparing them needs no more.
type Outcome = (Vec<String>, Option<ProtocolError>);

fn decode(mut wire: &[u8], sizes: &[usize], inflater: &mut Option<Inflater>) -> Outcome {
    let mut decoder = Decoder::default();
    let mut scratch = vec![0; wire.len()];
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
            match decoder.next(&mut input, &LIMITS, inflater.as_mut()) {
                Ok(Some(event)) => {
                    check(&event);
                    events.push(format!("{event:?}"));
                }
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(input.is_empty(), "all input is taken");
    }
    (events, None)
}

/// What every event must keep to, whatever was sent.
fn check(event: &Incoming<'_>) {
    match event {
        Incoming::Text(text) => assert!(text.len() <= LIMITS.message_size),
        Incoming::Binary(bytes) => assert!(bytes.len() <= LIMITS.message_size),
        Incoming::Ping(payload) => assert!(payload.len() <= 125),
        Incoming::Close(Some(frame)) => {
            assert!((1000..5000).contains(&frame.code) && frame.reason.len() <= 123)
        }
        Incoming::Pong | Incoming::Close(None) => {}
    }
}
