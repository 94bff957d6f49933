//! Frames as clients send and read them, for load tools, probes and tests.

pub mod frames;

use crate::header::MASKED;
use crate::{Opcode, encode, mask};

/// Masks or unmasks `payload` in place (section 5.3).
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    mask::apply(payload, key);
}

/// A whole final frame, masked with `key`.
pub fn encode_masked(opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let (mut header, size) = encode::header(opcode, payload.len());
    header[1] |= MASKED;
    let mut frame = [&header[..size], &key, payload].concat();
    mask::apply(&mut frame[size + key.len()..], key);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masked "Hello" of section 5.7.
    #[test]
    fn the_example_of_the_rfc() {
        let frame = encode_masked(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(
            frame,
            [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        );
    }
}
