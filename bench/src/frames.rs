//! Frames as a server sends them (RFC 6455 section 5), read where they lie.

use anyhow::{bail, ensure};

/// A text or binary message.
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// A whole frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Message(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
}

/// Takes the first frame off `input`; `None` while it is incomplete. A close frame is an error, as is everything that a
/// server of short messages does not send.
pub fn next<'a>(input: &mut &'a [u8]) -> anyhow::Result<Option<Frame<'a>>> {
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
        PING => Frame::Ping(payload),
        PONG => Frame::Pong,
        CLOSE => bail!("the server closed the connection: {}", close_text(payload)),
        other => bail!("the server sent a frame with opcode {other}"),
    }))
}

/// Opcode, start and end of the payload.
fn bounds(input: &[u8]) -> anyhow::Result<Option<(u8, usize, usize)>> {
    let &[first, second, ref rest @ ..] = input else {
        return Ok(None);
    };
    ensure!(first & FIN != 0, "the server fragments its messages");
    ensure!(second & MASKED == 0, "the server masked a frame");
    let (start, length) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length))?),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    Ok(Some((first & 0xf, start, start.saturating_add(length))))
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
    use natter_websocket::{Opcode, encode};

    use super::*;

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
    fn what_ends_a_connection_says_why() {
        let close = natter_websocket::close(3008, "slow");
        let error = next(&mut &close[..]).unwrap_err().to_string();
        assert!(error.contains("3008 slow"), "{error}");
        let masked = natter_websocket::client::encode_masked(Opcode::Text, b"a", [1; 4]);
        assert!(next(&mut &masked[..]).is_err());
    }
}
