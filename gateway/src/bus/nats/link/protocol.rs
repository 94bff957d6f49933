//! What a NATS server says, taken apart without copying it: one operation at a time from the front of what was read.
//!
//! Nothing but sizes and separators is checked here. Subjects and headers stay bytes: others in the account write them,
//! and what they write must not end the connection.

use memchr::memchr;

use super::delivery::Delivery;

/// Longest line. INFO is the longest of all, with an address for each server of a cluster and of its clients.
const MAX_LINE: usize = 256 * 1024;
/// Largest message, headers included: what NATS itself has as its limit.
const MAX_MESSAGE: usize = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// JSON.
    Info(&'a [u8]),
    Message(Delivery<'a>),
    Ping,
    Pong,
    Ok,
    /// The server's text, without its quotes.
    Error(&'a [u8]),
}

/// What no server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a line is longer than {MAX_LINE} bytes")]
    LongLine,
    #[error("a message is larger than {MAX_MESSAGE} bytes")]
    LargeMessage,
    #[error("an operation is not known")]
    Operation,
    #[error("the line of a message is unreadable")]
    Message,
    #[error("a message does not end where it should")]
    End,
}

/// The first operation and its length, or nothing when more has to be read.
pub(super) fn parse(input: &[u8]) -> Result<Option<(Operation<'_>, usize)>, Malformed> {
    let Some(end) = memchr(b'\n', &input[..input.len().min(MAX_LINE)]) else {
        return if input.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(Malformed::LongLine)
        };
    };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    let (verb, arguments) = match memchr(b' ', line) {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &[][..]),
    };
    let operation = match verb {
        b"MSG" | b"HMSG" => return message(verb == b"HMSG", arguments, input, end + 1),
        b"PING" => Operation::Ping,
        b"PONG" => Operation::Pong,
        b"+OK" => Operation::Ok,
        b"-ERR" => Operation::Error(unquoted(arguments)),
        b"INFO" => Operation::Info(arguments),
        _ => return Err(Malformed::Operation),
    };
    Ok(Some((operation, end + 1)))
}

/// `<subject> <sid> [reply] [length of headers] <length of all>`, and from `start` on that many bytes.
fn message<'a>(
    has_headers: bool,
    arguments: &'a [u8],
    input: &'a [u8],
    start: usize,
) -> Result<Option<(Operation<'a>, usize)>, Malformed> {
    let mut words = arguments
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let mut next = || words.next().ok_or(Malformed::Message);
    let (subject, sid) = (next()?, number(next()?)?);
    let mut last = next()?;
    let mut before = None;
    for word in words {
        before = Some(last);
        last = word;
    }
    let length = size(last)?;
    let of_headers = match before {
        Some(word) if has_headers => size(word)?,
        None if has_headers => return Err(Malformed::Message),
        _ => 0,
    };
    if of_headers > length {
        return Err(Malformed::Message);
    }
    if length > MAX_MESSAGE {
        return Err(Malformed::LargeMessage);
    }
    let Some(body) = input.get(start..start + length + 2) else {
        return Ok(None);
    };
    if !body.ends_with(b"\r\n") {
        return Err(Malformed::End);
    }
    let delivery = Delivery {
        subject,
        sid,
        headers: &body[..of_headers],
        payload: &body[of_headers..length],
    };
    Ok(Some((Operation::Message(delivery), start + length + 2)))
}

fn size(digits: &[u8]) -> Result<usize, Malformed> {
    usize::try_from(number(digits)?).map_err(|_| Malformed::LargeMessage)
}

fn number(digits: &[u8]) -> Result<u64, Malformed> {
    let digit = |value: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    let value = digits.iter().try_fold(0, digit);
    value.filter(|_| !digits.is_empty()).ok_or(Malformed::Message)
}

fn unquoted(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    let inner = text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'"));
    inner.unwrap_or(text)
}

#[cfg(test)]
mod tests;
