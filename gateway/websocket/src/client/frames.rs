//! Frames as a server sends them (RFC 6455 section 5), read where they lie.

use crate::header::{FIN, LENGTH_16, LENGTH_64, MASKED, RSV1};

/// A text or binary message.
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Why nothing more is to be read from a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A close frame, with its code and reason.
    #[error("the server closed the connection: {0}")]
    Closed(String),
    /// A part of a message; a server of short messages sends none.
    #[error("the server fragments its messages")]
    Fragmented,
    /// Section 5.1.
    #[error("the server masked a frame")]
    Masked,
    /// An opcode that is not defined, or a continuation.
    #[error("the server sent a frame with opcode {0}")]
    Opcode(u8),
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Text or binary.
    Message(&'a [u8]),
    /// As it was compressed, for an [`Inflater`](crate::Inflater).
    Compressed(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// Answers a ping.
    Pong,
}

/// Opcode, with RSV1 where a frame is compressed.
const COMPRESSED_TEXT: u8 = TEXT | RSV1;
const COMPRESSED_BINARY: u8 = BINARY | RSV1;

/// Takes the first frame off `input`; `None` while it is incomplete. A close frame is an error, as is everything that a
/// server of short messages does not send.
pub fn next<'a>(input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
    let Some((opcode, start, end)) = bounds(input)? else {
        return Ok(None);
    };
    let Some((frame, rest)) = input.split_at_checked(end) else {
        return Ok(None);
    };
    *input = rest;
    let payload = &frame[start..];
    Ok(Some(match opcode {
        TEXT | BINARY => Frame::Message(payload),
        COMPRESSED_TEXT | COMPRESSED_BINARY => Frame::Compressed(payload),
        PING => Frame::Ping(payload),
        PONG => Frame::Pong,
        CLOSE => return Err(FrameError::Closed(close_text(payload))),
        other => return Err(FrameError::Opcode(other)),
    }))
}

/// Opcode with RSV1, start and end of the payload.
fn bounds(input: &[u8]) -> Result<Option<(u8, usize, usize)>, FrameError> {
    let &[first, second, ref rest @ ..] = input else {
        return Ok(None);
    };
    if first & FIN == 0 {
        return Err(FrameError::Fragmented);
    }
    if second & MASKED != 0 {
        return Err(FrameError::Masked);
    }
    let (start, length) = match second {
        LENGTH_16 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.first_chunk() {
            // Where `usize` is too small, the frame never becomes complete.
            Some(length) => (
                10,
                usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX),
            ),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    Ok(Some((first & (RSV1 | 0xf), start, start.saturating_add(length))))
}

fn close_text(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            format!(
                "{} {}",
                u16::from_be_bytes(*code),
                String::from_utf8_lossy(reason)
            )
        }
        None => "no code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::encode_masked;
    use crate::{Opcode, close, encode};

    #[test]
    fn every_length_is_taken_whole_or_not_at_all() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let bytes = encode(Opcode::Text, &payload);
            for cut in [1, 2, 3, bytes.len() - 1] {
                let mut input = &bytes[..cut.min(bytes.len() - 1)];
                assert_eq!(next(&mut input).unwrap(), None, "{length} cut at {cut}");
            }
            let mut input = &bytes[..];
            assert_eq!(next(&mut input).unwrap(), Some(Frame::Message(&payload)));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn compressed_messages_are_told_apart() {
        let text = [b'a'; 90];
        let frame = crate::Deflater::new(1).encode(Opcode::Text, &text).unwrap();
        let Some(Frame::Compressed(payload)) = next(&mut &frame[..]).unwrap() else {
            panic!("{frame:x?}")
        };
        assert_eq!(crate::Inflater::default().inflate(payload, 90), Ok(text.to_vec()));
        assert!(next(&mut &[0xc9, 0][..]).is_err(), "a ping cannot be compressed");
    }

    #[test]
    fn what_ends_a_connection_says_why() {
        let close = close(3008, "slow");
        let error = next(&mut &close[..]).unwrap_err().to_string();
        assert!(error.contains("3008 slow"), "{error}");
        let masked = encode_masked(Opcode::Text, b"a", [1; 4]);
        assert!(next(&mut &masked[..]).is_err());
    }
}
