//! `POST /emulation`: what a client says whose connection is a stream. Any gateway takes it and brings it to the one that
//! has the stream.
//!
//! A session is known by a key that only its client was told, so nobody else can speak in its name. Answers: 204 it was
//! heard, 400 it is no message, 404 there is no such session (the client connects anew), 408 it took too long, 413 it is too
//! large, 429 too many commands of it wait, 503 its gateway could not be asked.

use std::borrow::Cow;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use natter_protocol::EmulationRequest;
use uuid::Uuid;

use super::{Connection, origin, plain, stream::encoding, wrong_method};
use crate::{
    cluster::{Hearing, Said},
    limits::Limit,
    metrics::HandshakeFailure,
    session::StreamKey,
    wire::Encoding,
};

pub(super) const PATH: &str = "/emulation";
/// Bytes of a request around what is said.
const AROUND: usize = 1_024;
/// Bytes of JSON that one byte of what is said may take: escaped, it is `\u0022`.
const ESCAPED: usize = 6;

impl Connection {
    pub(super) async fn emulation(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return wrong_method("POST");
        }
        let live = self.worker.live().clone();
        if !origin::is_allowed(&parts.headers, &live.settings.http.allowed_origins) {
            return plain(StatusCode::FORBIDDEN, "this origin is not allowed\n");
        }
        let encoding = encoding(&parts.headers);
        let largest = live.settings.client.message_size_limit;
        let body = match self.body_of_stranger(body, body_limit(encoding, largest)).await {
            Ok(body) => body,
            Err(error) => return self.unreadable(error.told()),
        };
        match read(&body, encoding) {
            Some((node, said)) if said.data.len() <= largest => {
                self.pass_on(&parts.headers, node, said).await
            }
            Some(_) => self.unreadable((
                HandshakeFailure::TooLarge,
                StatusCode::PAYLOAD_TOO_LARGE,
                "the message is too large",
            )),
            None => self.unreadable((
                HandshakeFailure::Malformed,
                StatusCode::BAD_REQUEST,
                "this is no emulated message",
            )),
        }
    }

    async fn pass_on(&self, headers: &HeaderMap, node: Uuid, said: Said) -> Response<Body> {
        let gateway = &self.worker.gateway;
        let hearing = gateway.cluster.emulate(gateway, node, said).await;
        gateway.metrics.protocol.emulated(hearing);
        match hearing {
            Hearing::Heard => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Hearing::Unknown => self.no_session(headers),
            Hearing::Busy => plain(StatusCode::TOO_MANY_REQUESTS, "earlier commands wait\n"),
            Hearing::Unreachable => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the session's gateway does not answer\n",
            ),
        }
    }

    /// Streams end, so that a client may not know it yet; who names many that are none guesses. It is told the same, and has to
    /// connect anew for the next one.
    fn no_session(&self, headers: &HeaderMap) -> Response<Body> {
        let mut response = plain(StatusCode::NOT_FOUND, "there is no such session\n");
        let (client, limiter) = (self.client(headers), &self.worker.gateway.limiter);
        let rate = self.worker.live().settings.api.wrong_key_limit;
        if !limiter.forgives_session(client, rate) {
            limiter.reached(Limit::UnknownSessions, &client);
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// Bytes of a request that says as much as may be said, in whatever form.
fn body_limit(encoding: Encoding, largest: usize) -> usize {
    let said = match encoding {
        Encoding::Json => largest.saturating_mul(ESCAPED),
        Encoding::Protobuf => largest,
    };
    said.saturating_add(AROUND)
}

/// Who is meant and what is said; `None` when it is not readable.
fn read(body: &Bytes, encoding: Encoding) -> Option<(Uuid, Said)> {
    let request = match encoding {
        Encoding::Json => EmulationRequest::from_json(body),
        Encoding::Protobuf => EmulationRequest::from_protobuf(body),
    };
    let EmulationRequest { node, session, data } = request.ok()?;
    // What is no key is nobody's, as one that is unknown: the client is to connect anew.
    let key = StreamKey::parse(&session).unwrap_or_default();
    let node = Uuid::try_parse(&node).unwrap_or_default();
    let data = match data {
        Cow::Borrowed(data) => body.slice_ref(data),
        Cow::Owned(data) => data.into(),
    };
    Some((node, Said { key, data }))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const LARGEST: usize = 65_536;

    /// A request with everything escaped, as some encoders write what is not plain.
    fn escaped(data: &str) -> Bytes {
        let escape = |text: &str| {
            text.encode_utf16().fold(String::new(), |mut escaped, unit| {
                let _ = write!(escaped, "\\u{unit:04x}");
                escaped
            })
        };
        let address = escape(&Uuid::new_v4().to_string());
        let data = escape(data);
        let body =
            format!("{{\"session\":\"{address}{address}\",\"node\":\"{address}\",\"data\":\"{data}\"}}");
        body.into()
    }

    #[test]
    fn the_largest_message_fits_however_it_is_escaped() {
        for text in ["\"", "a", "\u{e9}", "\u{20ac}", "\u{1f600}"] {
            let data = text.repeat(LARGEST / text.len());
            let body = escaped(&data);
            assert!(body.len() <= body_limit(Encoding::Json, LARGEST), "{text}");
            let (_, said) = read(&body, Encoding::Json).unwrap();
            assert_eq!(said.data, data, "{text}");
        }
    }

    #[test]
    fn a_request_is_bounded() {
        assert!(escaped(&"a".repeat(LARGEST + AROUND)).len() > body_limit(Encoding::Json, LARGEST));
        assert_eq!(body_limit(Encoding::Protobuf, LARGEST), LARGEST + AROUND);
        assert_eq!(body_limit(Encoding::Json, usize::MAX), usize::MAX);
    }
}
