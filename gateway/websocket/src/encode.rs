//! Frames as a server sends them: whole, never masked (section 5.1).

use crate::Opcode;
use crate::header::{FIN, LENGTH_16, LENGTH_64, MAX_CONTROL};

/// The longest header of a server: 2 bytes and a 64-bit length.
pub const MAX_HEADER: usize = 10;

/// The header of a final frame with a payload of `length` bytes: only so many bytes of the array count.
pub fn header(opcode: Opcode, length: usize) -> ([u8; MAX_HEADER], usize) {
    let mut bytes = [0; MAX_HEADER];
    bytes[0] = FIN | opcode as u8;
    if length <= MAX_CONTROL {
        bytes[1] = length.to_le_bytes()[0];
        (bytes, 2)
    } else if let Ok(length) = u16::try_from(length) {
        bytes[1] = LENGTH_16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        (bytes, 4)
    } else {
        bytes[1] = LENGTH_64;
        bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
        (bytes, MAX_HEADER)
    }
}

/// A whole frame in one allocation of its exact size.
pub fn encode(opcode: Opcode, payload: &[u8]) -> Box<[u8]> {
    let (header, size) = header(opcode, payload.len());
    [&header[..size], payload].concat().into_boxed_slice()
}

/// A ping; a payload over 125 bytes is cut, as the protocol has no longer ones (section 5.5).
pub fn ping(payload: &[u8]) -> Box<[u8]> {
    encode(Opcode::Ping, cut(payload))
}

/// A pong that echoes a ping's payload; cut as in [`ping`].
pub fn pong(payload: &[u8]) -> Box<[u8]> {
    encode(Opcode::Pong, cut(payload))
}

/// A close frame; the reason is cut to 123 bytes at the end of a character (sections 5.5 and 5.5.1).
pub fn close(code: u16, reason: &str) -> Box<[u8]> {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    encode(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

fn cut(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(MAX_CONTROL)]
}

/// Builds a frame whose payload length is not known beforehand, in one growing buffer.
///
/// Room for the longest header is kept in front of the payload; the real header is then written right before the
/// payload, so nothing moves.
#[derive(Debug)]
pub struct FrameBuilder {
    opcode: Opcode,
    buffer: Vec<u8>,
}

impl FrameBuilder {
    /// Starts a frame with room for a payload of `capacity` bytes.
    pub fn with_capacity(opcode: Opcode, capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER + capacity);
        buffer.resize(MAX_HEADER, 0);
        Self { opcode, buffer }
    }

    /// The buffer to append payload to. Its first [`MAX_HEADER`] bytes are the builder's.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the header. The frame is everything from the returned start on.
    pub fn finish(mut self) -> (Vec<u8>, usize) {
        if self.buffer.len() < MAX_HEADER {
            self.buffer.resize(MAX_HEADER, 0);
        }
        let (header, size) = header(self.opcode, self.buffer.len() - MAX_HEADER);
        let start = MAX_HEADER - size;
        self.buffer[start..MAX_HEADER].copy_from_slice(&header[..size]);
        (self.buffer, start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_the_shortest_form() {
        let cases: [(usize, &[u8]); 6] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (1 << 33, &[0x81, 127, 0, 0, 0, 2, 0, 0, 0, 0]),
        ];
        for (length, expected) in cases {
            let (bytes, size) = header(Opcode::Text, length);
            assert_eq!(&bytes[..size], expected);
        }
    }

    #[test]
    fn the_builder_makes_what_encode_makes() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            let mut builder = FrameBuilder::with_capacity(Opcode::Binary, 16);
            builder.payload().extend_from_slice(&payload);
            let (frame, start) = builder.finish();
            assert_eq!(frame[start..], *encode(Opcode::Binary, &payload));
        }
    }

    #[test]
    fn a_cleared_builder_is_an_empty_frame() {
        let mut builder = FrameBuilder::with_capacity(Opcode::Text, 0);
        builder.payload().clear();
        let (frame, start) = builder.finish();
        assert_eq!(frame[start..], [0x81, 0]);
    }

    #[test]
    fn control_frames_stay_within_125_bytes() {
        assert_eq!(*ping(b"hi"), [0x89, 2, b'h', b'i']);
        assert_eq!(*pong(&[]), [0x8a, 0]);
        assert_eq!(pong(&[0; 200]).len(), 127);
        assert_eq!(*close(3001, "shutdown"), *b"\x88\x0a\x0b\xb9shutdown");
        // 61 two-byte characters are 122 bytes; the next one would end at 124.
        let long = "ä".repeat(100);
        assert_eq!(close(1000, &long).len(), 2 + 2 + 122);
    }
}
