//! A publication as a NATS message: the payload is the client's data, untouched, so that any NATS client can read it;
//! everything else is a header. `Natter-Format` is the version of this layout; a gateway reads its own and the one
//! before.

use async_nats::{HeaderMap, HeaderValue, Message};
use bytes::Bytes;
use uuid::Uuid;

use crate::publication::{MessageId, Publication};

const FORMAT: &str = "1";

const FORMAT_HEADER: &str = "Natter-Format";
const ID_HEADER: &str = "Natter-Id";
/// Unix nanoseconds of acceptance.
const TIME_HEADER: &str = "Natter-Time";
/// JSON of the publishing client.
const INFO_HEADER: &str = "Natter-Info";
/// JSON object of strings.
const TAGS_HEADER: &str = "Natter-Tags";
/// `binary` where the payload is no JSON text.
const PAYLOAD_HEADER: &str = "Natter-Payload";
const BINARY: &str = "binary";
/// W3C trace context.
const TRACE_HEADER: &str = "traceparent";
/// Id of the NATS server that the sender of a control message is connected to.
const SERVER_HEADER: &str = "Natter-Server";

/// Id of the gateway that says something about its members of a room, where the message is no publication.
const PRESENCE_HEADER: &str = "Natter-Presence";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("format {0:?} of the message is not known")]
    Format(String),
    #[error("header {0} is missing or unreadable")]
    Header(&'static str),
    #[error("payload is not UTF-8")]
    Payload,
}

pub(super) fn headers(publication: &Publication) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(FORMAT_HEADER, FORMAT);
    headers.insert(ID_HEADER, publication.id.to_string());
    headers.insert(TIME_HEADER, publication.accepted_at.to_string());
    for (name, value) in [(INFO_HEADER, &publication.info), (TAGS_HEADER, &publication.tags)] {
        insert(
            &mut headers,
            name,
            value.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok()),
        );
    }
    insert(
        &mut headers,
        PAYLOAD_HEADER,
        publication.is_binary.then_some(BINARY),
    );
    insert(&mut headers, TRACE_HEADER, publication.traceparent.as_deref());
    headers
}

/// Leaves out what a header cannot carry; the doors let no such text in.
fn insert(headers: &mut HeaderMap, name: &'static str, text: Option<&str>) {
    if let Some(value) = text.and_then(|text| text.parse::<HeaderValue>().ok()) {
        headers.insert(name, value);
    }
}

/// Where a message's headers are, whoever read it.
pub(super) trait Headers {
    /// The first value under exactly this name.
    fn header(&self, name: &'static str) -> Option<&str>;
}

impl Headers for Message {
    fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(HeaderValue::as_str)
    }
}

/// Reads a publication; `payload` is that of the message.
pub(super) fn decode(message: &impl Headers, payload: Bytes) -> Result<Publication, DecodeError> {
    let get = |name: &'static str| message.header(name);
    let format = get(FORMAT_HEADER).ok_or(DecodeError::Header(FORMAT_HEADER))?;
    if format != FORMAT {
        return Err(DecodeError::Format(format.to_owned()));
    }
    let is_binary = get(PAYLOAD_HEADER) == Some(BINARY);
    if !is_binary {
        std::str::from_utf8(&payload).map_err(|_| DecodeError::Payload)?;
    }
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Ok(Publication {
        id: get(ID_HEADER)
            .and_then(MessageId::parse)
            .ok_or(DecodeError::Header(ID_HEADER))?,
        offset: 0,
        accepted_at: get(TIME_HEADER)
            .and_then(|text| text.parse().ok())
            .ok_or(DecodeError::Header(TIME_HEADER))?,
        info: get(INFO_HEADER).map(copy),
        tags: get(TAGS_HEADER).map(copy),
        traceparent: get(TRACE_HEADER).map(str::to_owned),
        data: payload,
        is_binary,
    })
}

/// W3C trace context of whoever sent the message.
pub(super) fn traceparent(message: &impl Headers) -> Option<&str> {
    message.header(TRACE_HEADER)
}

pub(super) fn control_headers(server: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SERVER_HEADER, server);
    headers
}

/// The NATS server that the sender of a control message is connected to.
pub(super) fn server(message: &impl Headers) -> Option<&str> {
    message.header(SERVER_HEADER)
}

pub(super) fn presence_headers(node: Uuid) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(PRESENCE_HEADER, node.simple().to_string());
    headers
}

/// The gateway that says something about its members, unless the message is something else.
pub(super) fn presence(message: &impl Headers) -> Option<Uuid> {
    Uuid::try_parse(message.header(PRESENCE_HEADER)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: Option<HeaderMap>) -> Message {
        Message {
            subject: "natter.eph.0.a".into(),
            reply: None,
            payload: Bytes::new(),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    fn decoded(headers: Option<HeaderMap>, payload: &'static [u8]) -> Result<Publication, DecodeError> {
        decode(&message(headers), Bytes::from_static(payload))
    }

    #[test]
    fn a_publication_survives_the_journey() {
        let mut publication = Publication::new(&br#"{"text":"hi"}"#[..]);
        publication.info = Some(Bytes::from_static(br#"{"user":"42","client":"c"}"#));
        publication.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        let decoded = decoded(Some(headers(&publication)), br#"{"text":"hi"}"#).unwrap();
        assert_eq!(decoded, publication);
    }

    #[test]
    fn bytes_are_said_to_be_bytes() {
        let mut publication = Publication::new(&b"\xff\n"[..]);
        publication.is_binary = true;
        assert_eq!(decoded(Some(headers(&publication)), b"\xff\n"), Ok(publication));
    }

    #[test]
    fn foreign_messages_are_named_errors() {
        assert_eq!(decoded(None, b"{}"), Err(DecodeError::Header(FORMAT_HEADER)));
        let mut newer = headers(&Publication::new(&b"{}"[..]));
        newer.insert(FORMAT_HEADER, "9");
        assert_eq!(decoded(Some(newer), b"{}"), Err(DecodeError::Format("9".into())));
        let valid = headers(&Publication::new(&b"{}"[..]));
        assert_eq!(decoded(Some(valid), b"\xff"), Err(DecodeError::Payload));
    }
}
