//! Bodies of requests that are read before it is known who asks: few at a time, and none for long.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::{
    Connection,
    handshakes::{Handshake, Part},
};
use crate::metrics::HandshakeFailure;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    /// The client left, or it is no HTTP.
    Incomplete,
    /// It did not end in time.
    Late,
}

impl BodyError {
    /// What is counted, and how it is answered.
    pub(super) const fn told(self) -> (HandshakeFailure, StatusCode, &'static str) {
        match self {
            Self::TooLarge => (
                HandshakeFailure::TooLarge,
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large",
            ),
            Self::Incomplete => (
                HandshakeFailure::Closed,
                StatusCode::BAD_REQUEST,
                "the body is incomplete",
            ),
            Self::Late => (
                HandshakeFailure::Timeout,
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long",
            ),
        }
    }
}

impl Connection {
    /// Reads the body of somebody who is not known yet: it has places among others meanwhile, and the time of a handshake.
    /// `limit` in bytes.
    pub(super) async fn body_of_stranger(&self, body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
        let announced = body.size_hint().exact();
        let largest = announced.map_or(limit, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if largest > limit {
            return Err(BodyError::TooLarge);
        }
        let time = self.worker.live().settings.http.header_timeout;
        let place = Handshake::begin(&self.worker, Part::Body, &self.gives_way);
        let read = timeout(time, read(body, largest, &place)).await;
        read.unwrap_or(Err(BodyError::Late))
    }
}

/// In one piece, since a piece of every chunk would cost more than what is in it.
async fn read(mut body: Incoming, limit: usize, place: &Handshake) -> Result<Bytes, BodyError> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Incomplete)?.into_data() else {
            continue;
        };
        let length = read.len() + data.len();
        if length > limit {
            return Err(BodyError::TooLarge);
        }
        if length > read.capacity() {
            let doubled = limit.min(2 * read.capacity());
            read.reserve_exact(doubled.max(length) - read.len());
            place.hold(read.capacity());
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into_boxed_slice().into())
}
