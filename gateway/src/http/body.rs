//! Bodies of requests that are read before it is known who asks: few at a time, and none for long.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::{Connection, handshakes::Handshake};
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
    pub(super) const fn failure(self) -> HandshakeFailure {
        match self {
            Self::TooLarge => HandshakeFailure::TooLarge,
            Self::Incomplete => HandshakeFailure::Closed,
            Self::Late => HandshakeFailure::Timeout,
        }
    }
}

impl Connection {
    /// Reads the body of somebody who is not known yet: it has the place of a handshake meanwhile, and its time. `limit` in bytes.
    pub(super) async fn body_of_stranger(&self, body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
        let announced = body.size_hint().exact();
        let largest = announced.map_or(limit, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if largest > limit {
            return Err(BodyError::TooLarge);
        }
        let time = self.worker.live().settings.http.header_timeout;
        let _place = Handshake::begin(&self.worker, &self.gives_way, largest);
        match timeout(time, Limited::new(body, limit).collect()).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
            Ok(Err(_)) => Err(BodyError::Incomplete),
            Err(_) => Err(BodyError::Late),
        }
    }
}
