//! A message as it stands in the buffer that it was read into.
//!
//! The buffer is read into again, so whoever wants to keep something of a message copies it. A payload that is a part
//! of the buffer would keep all of its 64 KiB for as long as a durable room remembers the publication; to copy some
//! hundred bytes costs less than to count who still holds the buffer.

use async_nats::{HeaderMap, HeaderName, HeaderValue, Message, StatusCode};
use bytes::Bytes;

use crate::bus::nats::message::Headers;

/// What the block of headers begins with; a status may follow on the same line.
const VERSION: &str = "NATS/1.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus::nats) struct Delivery<'a> {
    pub(super) subject: &'a [u8],
    /// Number of the subscription.
    pub(super) sid: u64,
    /// The block of headers as it is, or nothing.
    pub(super) headers: &'a [u8],
    pub(in crate::bus::nats) payload: &'a [u8],
}

impl Headers for Delivery<'_> {
    fn header(&self, name: &'static str) -> Option<&str> {
        let mut lines = self.headers.split(|&byte| byte == b'\n').skip(1);
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
        std::str::from_utf8(value).ok().map(str::trim)
    }
}

impl Delivery<'_> {
    /// A copy in the form that the client has; headers that it cannot have are left out.
    pub(in crate::bus::nats) fn to_message(self) -> Message {
        let headers = String::from_utf8_lossy(self.headers);
        let mut lines = headers.lines();
        let first = lines.next().and_then(|line| line.strip_prefix(VERSION));
        let (status, description) = match first.unwrap_or_default().trim().split_once(' ') {
            Some((status, description)) => (status, Some(description.to_owned())),
            None => (first.unwrap_or_default().trim(), None),
        };
        let mut map = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>()) {
                map.append(name, value);
            }
        }
        Message {
            subject: String::from_utf8_lossy(self.subject).into_owned().into(),
            reply: None,
            payload: Bytes::copy_from_slice(self.payload),
            headers: (!map.is_empty()).then_some(map),
            status: status.parse::<StatusCode>().ok(),
            description,
            length: self.subject.len() + self.headers.len() + self.payload.len(),
        }
    }
}

/// Writes headers as NATS has them on the wire.
pub(super) fn write_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(VERSION.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, values) in headers.iter() {
        for value in values {
            for part in [name.as_ref(), ": ", value.as_str(), "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(headers: &[u8]) -> Delivery<'_> {
        Delivery {
            subject: b"a.b",
            sid: 1,
            headers,
            payload: b"hi",
        }
    }

    #[test]
    fn headers_are_found_by_their_whole_name() {
        let headers =
            b"NATS/1.0\r\nName-Long: x\r\nName:  one two \r\nName: second\r\nJunk\r\nBytes: \xff\r\n\r\n";
        let delivery = delivery(headers);
        assert_eq!(delivery.header("Name"), Some("one two"));
        assert_eq!(delivery.header("Name-Long"), Some("x"));
        for absent in ["name", "Nam", "Junk", "Bytes", "NATS/1.0"] {
            assert_eq!(delivery.header(absent), None, "{absent}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut headers = HeaderMap::new();
        headers.insert("One", "1");
        headers.append("Two", "2");
        headers.append("Two", "3");
        let mut wire = Vec::new();
        write_headers(&headers, &mut wire);
        let message = delivery(&wire).to_message();
        assert_eq!(message.headers, Some(headers));
        assert_eq!(
            (message.subject.as_str(), &message.payload[..]),
            ("a.b", &b"hi"[..])
        );
        assert_eq!(message.status, None);
    }

    #[test]
    fn a_status_is_read() {
        let message = delivery(b"NATS/1.0 503\r\n\r\n").to_message();
        assert_eq!(message.status, Some(StatusCode::NO_RESPONDERS));
        let message = delivery(b"NATS/1.0 404 Message Not Found\r\n\r\n").to_message();
        assert_eq!(message.description.as_deref(), Some("Message Not Found"));
    }
}
