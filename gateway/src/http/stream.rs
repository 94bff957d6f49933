//! Connections whose gateway's side is the endless body of an HTTP answer: server-sent events and HTTP streaming, for
//! networks in which a WebSocket does not come through. What the client says comes by requests of their own
//! ([`super::emulation`]).
//!
//! The socket is taken from hyper once the request was read, and the head of the answer is the first thing in the
//! session's outbox: from there on such a connection is written to, bounded and counted as a WebSocket is. The body ends with the
//! connection, so no chunk has to be counted (RFC 9112 section 6.3).

use std::{fmt::Write as _, net::IpAddr, rc::Rc, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use natter_protocol::json;
use tracing::debug;

use super::{Connection, admission::Counted, cors, headers::secure, plain, wrong_method};
use crate::{
    listener,
    metrics::HandshakeFailure,
    proxy::Forwarded,
    session::Session,
    wire::{Carrier, Encoding, Wire},
};

pub(super) const EVENT_STREAM_PATH: &str = "/connection/sse";
pub(super) const HTTP_STREAM_PATH: &str = "/connection/http_stream";
pub(super) const ONE_WAY_EVENT_STREAM_PATH: &str = "/connection/uni_sse";
pub(super) const ONE_WAY_HTTP_STREAM_PATH: &str = "/connection/uni_http_stream";
/// Where an `EventSource`, which sends no body, has its first commands.
const CONNECT_PARAMETER: &str = "cf_connect";
/// What Protobuf is called in headers.
const OCTETS: &str = "application/octet-stream";
/// Sent before the first message: as much as some proxies and browsers keep back before they hand on the beginning of a body.
const PADDING: usize = 2_048;

/// A request that becomes a session.
pub(super) struct Stream {
    user: Option<Arc<str>>,
    wire: Wire,
    forwarded: Forwarded,
    client: IpAddr,
    counted: Counted,
    head: Vec<u8>,
    /// The first commands.
    commands: Bytes,
}

impl Connection {
    /// Reads the request; without an error the socket is to be taken, as nobody answers it.
    pub(super) async fn stream(
        &self,
        carrier: Carrier,
        one_way: bool,
        request: Request<Incoming>,
    ) -> Result<(), Response<Body>> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        // Clients that only listen may also post what they want to listen to.
        let asks_in_query = carrier == Carrier::EventStream && (parts.method == Method::GET || !one_way);
        let method = if asks_in_query { Method::GET } else { Method::POST };
        if parts.method != method {
            return Err(wrong_method(match (carrier, one_way) {
                (Carrier::EventStream, true) => "GET, POST",
                (Carrier::EventStream, false) => "GET",
                _ => "POST",
            }));
        }
        let wire = Wire {
            encoding: if carrier == Carrier::EventStream || one_way {
                Encoding::Json
            } else {
                encoding(headers)
            },
            carrier,
            one_way,
        };
        let commands = if asks_in_query {
            connect_parameter(parts.uri.query().unwrap_or_default())
                .or_else(|| one_way.then_some(Bytes::from_static(b"{}")))
        } else {
            let limit = self.worker.live().settings.client.message_size_limit;
            let body = self.body_of_stranger(body, limit).await;
            Some(body.map_err(|error| self.unreadable(error.told()))?)
        };
        let Some(commands) = commands.filter(|commands| !one_way || is_connect_request(commands)) else {
            return Err(self.unreadable((
                HandshakeFailure::Malformed,
                StatusCode::BAD_REQUEST,
                "what is asked for is missing or unreadable",
            )));
        };
        let user = self.user(headers).map_err(|refused| self.refuse(&refused))?;
        let counted = self.admit(headers).map_err(|refused| self.refuse(&refused))?;
        let mut more = cors::headers(headers);
        secure(&mut more, self.is_tls_only(headers));
        let head = head(wire, &more);
        self.stream.set(Some(Stream {
            user,
            wire,
            forwarded: self.forwarded(headers),
            client: self.client(headers),
            counted,
            head,
            commands,
        }));
        self.is_taken.notify_one();
        Ok(())
    }

    /// The answer to a request that says nothing, with its counter and its line in the log.
    pub(super) fn unreadable(
        &self,
        (failure, status, text): (HandshakeFailure, StatusCode, &'static str),
    ) -> Response<Body> {
        self.handshake_failed(failure.label(), &text);
        plain(status, format!("{text}\n"))
    }

    /// Serves the socket of a request that was read.
    pub(super) fn start_stream(&self) {
        let (Some(stream), Some(socket)) = (self.stream.take(), self.socket.take()) else {
            return;
        };
        // Nobody answers the pings of a stream: a client that takes nothing for so long is gone.
        let unread = self.worker.live().settings.client.ping_interval;
        listener::limit_unread(&socket, Some(unread));
        let session = Session::new(socket, stream.user, stream.wire, false, stream.counted);
        debug!(connection = %session.id, client = %stream.client, "accepted");
        session.forward(stream.forwarded);
        let worker = Rc::clone(&self.worker);
        tokio::task::spawn_local(session.run_stream(worker, stream.head, stream.commands));
    }
}

/// Whether a client that only listens would be understood.
pub(super) fn is_connect_request(request: &[u8]) -> bool {
    std::str::from_utf8(request).is_ok_and(|text| json::decode_connect(text).is_ok())
}

/// What the body of a request is in, by its `Content-Type`.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    let is_octets = |value: &HeaderValue| value.as_bytes().starts_with(OCTETS.as_bytes());
    if headers.get(header::CONTENT_TYPE).is_some_and(is_octets) {
        Encoding::Protobuf
    } else {
        Encoding::Json
    }
}

/// What a request's address asks for, if it does.
pub(super) fn connect_parameter(query: &str) -> Option<Bytes> {
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == CONNECT_PARAMETER).then_some(value)
    })?;
    // As forms are encoded, which is what `URLSearchParams` writes.
    let value = value.replace('+', " ");
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(&value).collect();
    (!decoded.is_empty()).then(|| decoded.into())
}

/// The head of the answer, with what else it has, and the padding. Proxies are asked neither to buffer nor to keep or to change it.
fn head(wire: Wire, more: &HeaderMap) -> Vec<u8> {
    let kind = match (wire.carrier, wire.encoding) {
        (Carrier::EventStream, _) => "text/event-stream; charset=utf-8",
        (_, Encoding::Json) => "application/json",
        (_, Encoding::Protobuf) => OCTETS,
    };
    let mut head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncache-control: private, no-cache, no-store, no-transform, \
         must-revalidate, max-age=0\r\npragma: no-cache\r\nexpires: 0\r\nx-accel-buffering: no\r\nconnection: close\r\n"
    );
    for (name, value) in more {
        // Made of an origin that was looked at as text.
        let value = value.to_str().unwrap_or_default();
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    match (wire.carrier, wire.encoding) {
        // A comment.
        (Carrier::EventStream, _) => {
            head.push(':');
            head.extend(std::iter::repeat_n(' ', PADDING));
            head.push_str("\n\n");
        }
        // Clients skip blanks before a text, and empty lines would be empty replies to some.
        (_, Encoding::Json) => head.extend(std::iter::repeat_n(' ', PADDING)),
        // Whatever came before a message would be read as its length.
        (_, Encoding::Protobuf) => {}
    }
    head.into_bytes()
}
