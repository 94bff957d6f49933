//! `POST /emulation`: what a client says whose connection is a stream. Any gateway takes it and brings it to the one that
//! has the stream.
//!
//! A session is known by a key that only its client was told, so nobody else can speak in its name. Answers: 204 it was
//! heard, 404 there is no such session (the client connects anew), 413 it is too large, 429 too many commands of it wait,
//! 503 its gateway could not be asked.

use std::borrow::Cow;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use natter_protocol::EmulationRequest;
use uuid::Uuid;

use super::{Connection, cors, origin, plain, stream::encoding, wrong_method};
use crate::{
    cluster::{Hearing, Said},
    session::StreamKey,
    wire::Encoding,
};

pub(super) const PATH: &str = "/emulation";
/// Bytes of a request around what is said.
const AROUND: usize = 1_024;

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
        // JSON may escape every byte of a message in two.
        let limit = 2 * live.settings.client.message_size_limit + AROUND;
        let Ok(body) = Limited::new(body, limit).collect().await else {
            return plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large or incomplete\n",
            );
        };
        let mut response = match read(&body.to_bytes(), encoding(&parts.headers)) {
            Some((node, said)) if said.data.len() <= live.settings.client.message_size_limit => {
                self.pass_on(node, said).await
            }
            Some(_) => plain(StatusCode::PAYLOAD_TOO_LARGE, "the message is too large\n"),
            None => plain(StatusCode::BAD_REQUEST, "this is no emulated message\n"),
        };
        response.headers_mut().extend(cors::headers(&parts.headers));
        response
    }

    async fn pass_on(&self, node: Uuid, said: Said) -> Response<Body> {
        let gateway = &self.worker.gateway;
        let hearing = gateway.cluster.emulate(gateway, node, said).await;
        gateway.metrics.protocol.emulated(hearing);
        match hearing {
            Hearing::Heard => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Hearing::Unknown => plain(StatusCode::NOT_FOUND, "there is no such session\n"),
            Hearing::Busy => plain(StatusCode::TOO_MANY_REQUESTS, "earlier commands wait\n"),
            Hearing::Unreachable => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the session's gateway does not answer\n",
            ),
        }
    }
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
