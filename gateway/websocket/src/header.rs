//! The head of a frame (section 5.2) as clients send it.
//!
//! Checks go in the order of the bytes, so a header judged from its first bytes is judged the same once the rest is
//! there: how the network cuts the stream never changes the outcome.

use crate::ProtocolError;

/// The longest header of a client: 2 bytes, a 64-bit length and the masking key.
pub(crate) const MAX_CLIENT_HEADER: usize = 14;
/// The longest payload of a control frame (section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;
/// A 7-bit length of 126 says that 16 bits of length follow, 127 that 64 bits follow.
pub(crate) const LENGTH_16: u8 = 126;
/// See [`LENGTH_16`].
pub(crate) const LENGTH_64: u8 = 127;
/// The FIN bit of the first byte.
pub(crate) const FIN: u8 = 0x80;
/// The RSV1 bit of the first byte, which marks a compressed message (RFC 7692 section 6).
pub(crate) const RSV1: u8 = 0x40;
/// RSV1 to RSV3.
const RESERVED: u8 = 0x70;
/// The MASK bit of the second byte.
pub(crate) const MASKED: u8 = 0x80;

/// The kind of a frame (section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A later fragment of a message.
    Continuation = 0,
    /// UTF-8 text, or its first fragment.
    Text = 1,
    /// Bytes, or their first fragment.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping, or comes unasked.
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(ProtocolError::UnknownOpcode(other)),
        })
    }

    /// Whether this is a control frame (section 5.5).
    pub(crate) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// A whole header of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// The first frame of a compressed message.
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    /// Bytes of payload as declared; where `usize` is too small, the largest one.
    pub(crate) length: usize,
    pub(crate) key: [u8; 4],
}

impl Header {
    /// Reads the header at the front of `bytes` and says how many bytes it takes; `None` while it is incomplete.
    /// `compression` says whether messages may be compressed.
    pub(crate) fn parse(bytes: &[u8], compression: bool) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let compressed = compression && first & RSV1 != 0;
        if first & RESERVED != 0 && !(compressed && first & RESERVED == RSV1) {
            return Err(ProtocolError::ReservedBits);
        }
        let fin = first & FIN != 0;
        let opcode = Opcode::from_bits(first & 0x0f)?;
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(ProtocolError::ReservedBits);
        }
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if second & MASKED == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(ProtocolError::ControlTooLong);
        }
        let Some((length, rest)) = length(short, rest)? else {
            return Ok(None);
        };
        let Some((&key, payload)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        Ok(Some((
            Self {
                fin,
                compressed,
                opcode,
                length,
                key,
            },
            bytes.len() - payload.len(),
        )))
    }
}

/// Reads the extended length, if the 7-bit one asks for it, and hands back the bytes after it.
fn length(short: u8, rest: &[u8]) -> Result<Option<(usize, &[u8])>, ProtocolError> {
    let (length, minimum, rest) = match short {
        LENGTH_16 => {
            let Some((&bytes, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(bytes)), u64::from(LENGTH_16), rest)
        }
        LENGTH_64 => {
            let Some((&bytes, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(bytes), 1 << 16, rest)
        }
        short => return Ok(Some((usize::from(short), rest))),
    };
    if length < minimum {
        return Err(ProtocolError::NonMinimalLength);
    }
    if length >> 63 != 0 {
        return Err(ProtocolError::LengthHighBit);
    }
    Ok(Some((usize::try_from(length).unwrap_or(usize::MAX), rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> ProtocolError {
        Header::parse(bytes, false).expect_err("must be refused")
    }

    #[test]
    fn lengths_of_all_three_forms() {
        let cases: [(&[u8], usize, usize); 6] = [
            (&[0x82, 0x80, 1, 2, 3, 4], 0, 6),
            (&[0x82, 0xfd, 1, 2, 3, 4], 125, 6),
            (&[0x82, 0xfe, 0, 126, 1, 2, 3, 4], 126, 8),
            (&[0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4], 65_535, 8),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], 65_536, 14),
            (&[0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1 << 40, 14),
        ];
        for (bytes, length, size) in cases {
            let header = Header {
                fin: true,
                compressed: false,
                opcode: Opcode::Binary,
                length,
                key: [1, 2, 3, 4],
            };
            assert_eq!(Header::parse(bytes, false), Ok(Some((header, size))));
            for cut in 0..bytes.len() {
                assert_eq!(
                    Header::parse(&bytes[..cut], false),
                    Ok(None),
                    "{cut} of {bytes:?}"
                );
            }
        }
    }

    #[test]
    fn the_first_byte_is_checked() {
        for reserved in [0x10, 0x20, 0x40, 0x70] {
            assert_eq!(error(&[0x81 | reserved, 0x80]), ProtocolError::ReservedBits);
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(
                error(&[0x80 | opcode, 0x80]),
                ProtocolError::UnknownOpcode(opcode)
            );
        }
        for opcode in [8, 9, 10] {
            assert_eq!(error(&[opcode, 0x80]), ProtocolError::FragmentedControl);
        }
    }

    #[test]
    fn the_first_frame_of_a_message_may_be_compressed() {
        for first in [0xc1, 0xc2, 0x41, 0x42] {
            let parsed = Header::parse(&[first, 0x80, 1, 2, 3, 4], true);
            assert!(parsed.unwrap().unwrap().0.compressed);
            assert_eq!(error(&[first, 0x80]), ProtocolError::ReservedBits);
        }
        // A continuation, control frames, and compressed messages with another bit set.
        for first in [0xc0, 0xc8, 0xc9, 0xca, 0xe1, 0xd1, 0xa1, 0x91] {
            let parsed = Header::parse(&[first, 0x80], true);
            assert_eq!(parsed, Err(ProtocolError::ReservedBits), "{first:#x}");
        }
    }

    #[test]
    fn the_second_byte_is_checked() {
        assert_eq!(error(&[0x81, 0x05]), ProtocolError::Unmasked);
        assert_eq!(error(&[0x89, 0xfe]), ProtocolError::ControlTooLong);
        assert_eq!(error(&[0x88, 0xff]), ProtocolError::ControlTooLong);
    }

    #[test]
    fn lengths_are_minimal_and_below_2_to_the_63() {
        assert_eq!(error(&[0x81, 0xfe, 0, 125]), ProtocolError::NonMinimalLength);
        assert_eq!(
            error(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            ProtocolError::NonMinimalLength
        );
        assert_eq!(
            error(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            ProtocolError::LengthHighBit
        );
    }
}
