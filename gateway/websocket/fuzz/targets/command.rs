//! Text frames of a client, decoded to commands: no panic and an end, whatever the text.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A line gives one command or one error at most, so this is also a bound on the work.
    let lines = text.split('\n').count();
    assert!(
        natter_protocol::json::decode(text).count() <= lines,
        "more commands than lines"
    );
});
