//! Binary frames of a client, decoded to commands: no panic and an end, whatever the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use natter_protocol::{Request, protobuf};

fuzz_target!(|frame: &[u8]| {
    let mut commands = 0;
    for command in protobuf::decode(frame).flatten() {
        commands += 1;
        if let Request::Publish(request) = command.request
            && let Some(line) = request.data.and_then(natter_protocol::Payload::json_line)
        {
            assert!(!line.contains('\n'), "a payload spans lines");
        }
    }
    // A byte gives one command or one error at most, so this is also a bound on the work.
    assert!(commands <= frame.len(), "more commands than bytes");
    assert!(protobuf::decode(frame).count() <= frame.len().max(1), "more items than bytes");
});
