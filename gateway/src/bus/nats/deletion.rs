//! Deletes what a cluster keeps at NATS, over a connection of its own. All that it keeps there is streams.
//!
//! Gateways make a stream again that they miss, so none of them may run. Nobody can see that from here; what can be seen is
//! that streams come back.

use std::time::Duration;

use async_nats::ConnectError;
use parking_lot::Mutex;
use tokio::time::sleep;

pub use super::jetstream::DeletedStream;
use super::{
    jetstream::CallError,
    setup::{Administration, SetupError},
};
use crate::{
    bus::BusError,
    config::{BusSettings, NatsSettings},
};

/// Looks at all streams until none is left to delete.
const LOOKS: usize = 5;
/// Between two looks: a cluster of servers may still name a stream that is gone.
const PAUSE: Duration = Duration::from_millis(200);

/// Why streams may be left.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    #[error("cannot connect to NATS: {0}")]
    Connect(#[from] ConnectError),
    /// Asking again is of no use.
    #[error("NATS does not permit it: {0}")]
    NotPermitted(String),
    #[error("stream {0} came back: does a gateway still run?")]
    CameBack(String),
    #[error("JetStream does not do it: {0}")]
    JetStream(String),
}

impl DeletionError {
    /// Whether it may be over soon.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::NotPermitted(_))
    }
}

/// Deletes the streams of the cluster of `bus.prefix`, those of `unmanaged` namespaces aside, and gives the names of what is
/// not the gateways' to delete. `deleted` is told of each stream that goes.
pub async fn delete_streams(
    bus: &BusSettings,
    nats: &NatsSettings,
    unmanaged: &[String],
    mut deleted: impl FnMut(&DeletedStream),
) -> Result<Vec<String>, DeletionError> {
    let Administration { jetstream, refusal } =
        Administration::connect(bus, nats, "natter-gateway delete-streams").await?;
    let mut last = None;
    for _ in 0..LOOKS {
        let removed = jetstream
            .delete_streams(unmanaged, &mut deleted)
            .await
            .map_err(|error| why(&error, &refusal))?;
        match removed.deleted.into_iter().next() {
            None => return Ok(removed.kept),
            Some(stream) => last = Some(stream.name),
        }
        sleep(PAUSE).await;
    }
    Err(DeletionError::CameBack(last.unwrap_or_default()))
}

/// In the server's words, also when it does not permit the inbox and no answer came.
fn why(error: &CallError, refusal: &Mutex<Option<String>>) -> DeletionError {
    match (error, refusal.lock().take()) {
        (CallError::NotPermitted(_) | CallError::Bus(BusError::Timeout), Some(refusal)) => {
            DeletionError::NotPermitted(refusal)
        }
        _ => DeletionError::JetStream(error.to_string()),
    }
}

impl From<SetupError> for DeletionError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Connect(error) => Self::Connect(error),
            other => Self::JetStream(other.to_string()),
        }
    }
}
