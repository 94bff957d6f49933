//! HTTP/1.1 as far as a load speaks it: the upgrade of a WebSocket, and a publication.

use anyhow::{Context, bail};
use memchr::memmem;
use natter_websocket::handshake::accept_key;

use crate::publisher::http::header;

/// The answer to a publication.
pub(super) const PUBLISHED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Upgrade { key: &'a str },
    Publish { body: &'a str },
}

/// Takes a request off `input`; `None` while it is incomplete.
pub(super) fn take<'a>(input: &mut &'a [u8]) -> anyhow::Result<Option<Request<'a>>> {
    let Some(end) = memmem::find(input, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&input[..end]).context("the head of a request is not UTF-8")?;
    let length = match header(head, "content-length") {
        Some(length) => length.parse().context("a request has a wrong length")?,
        None => 0,
    };
    let Some((request, rest)) = input.split_at_checked(end + 4 + length) else {
        return Ok(None);
    };
    *input = rest;
    if let Some(key) = header(head, "sec-websocket-key") {
        return Ok(Some(Request::Upgrade { key }));
    }
    if !head.starts_with("POST /api/publish ") {
        bail!("a load does not ask for this: {head}");
    }
    let body = str::from_utf8(&request[end + 4..]).context("the body of a request is not UTF-8")?;
    Ok(Some(Request::Publish { body }))
}

/// The answer to an upgrade.
pub(super) fn upgraded(key: &str) -> String {
    let accept = accept_key(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_each_other() {
        let text = b"POST /api/publish HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\nSec-WebSocket-Key: a\r\n\r\nPOST";
        let mut rest = &text[..];
        assert_eq!(take(&mut rest).unwrap(), Some(Request::Publish { body: "{}" }));
        assert_eq!(take(&mut rest).unwrap(), Some(Request::Upgrade { key: "a" }));
        assert_eq!(take(&mut rest).unwrap(), None);
        assert_eq!(rest, b"POST");
        assert!(take(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).is_err());
    }
}
