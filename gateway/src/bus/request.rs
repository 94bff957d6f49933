//! Calls of the server API that come over the bus.

use bytes::Bytes;

use super::{BoxFuture, BusError};

/// One call, for whichever gateway of the cluster takes it.
pub struct BusRequest {
    /// What is called; `None`: the body names it.
    pub method: Option<String>,
    pub body: Bytes,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    pub answer: Answer,
}

/// Where the caller waits.
pub struct Answer(Box<dyn FnOnce(Bytes) -> BoxFuture<Result<(), BusError>> + Send + Sync>);

impl Answer {
    pub(super) fn new(
        give: impl FnOnce(Bytes) -> BoxFuture<Result<(), BusError>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(give))
    }

    /// Bounded in time.
    pub async fn give(self, body: Bytes) -> Result<(), BusError> {
        (self.0)(body).await
    }
}
