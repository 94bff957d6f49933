//! Deletes what a cluster keeps at NATS, over a connection of its own. All that it keeps there is streams.
//!
//! Gateways make a stream again that they miss, so none of them may run. Nobody can see that from here; what can be seen is
//! that streams come back.

use std::{sync::Arc, time::Duration};

use async_nats::{ConnectError, Event};
use parking_lot::Mutex;
use tokio::time::sleep;

pub use super::jetstream::DeletedStream;
use super::{
    credentials::{Login, NatsFiles},
    jetstream::{CallError, JetStream, Limits},
};
use crate::{
    bus::{BusError, Subjects},
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
    let refusal = Arc::<Mutex<Option<String>>>::default();
    let jetstream = connect(bus, nats, &refusal).await?;
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

async fn connect(
    bus: &BusSettings,
    nats: &NatsSettings,
    refusal: &Arc<Mutex<Option<String>>>,
) -> Result<JetStream, DeletionError> {
    let servers: Vec<_> = nats.servers.iter().map(|url| url.address().clone()).collect();
    let refused = refusal.clone();
    let options = Login::new(&servers, NatsFiles::of(nats))
        .options()
        .name("natter-gateway delete-streams")
        .ping_interval(nats.ping_interval)
        .connection_timeout(nats.request_timeout)
        .request_timeout(Some(nats.request_timeout))
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                *refused.lock() = Some(error.to_string());
            }
            std::future::ready(())
        });
    let client = options.connect(servers).await?;
    let limits = Limits {
        request: nats.request_timeout,
        store: nats.store_timeout,
        history: nats.store_timeout,
    };
    JetStream::start(client, Subjects::new(&bus.prefix), limits)
        .await
        .map_err(|error| why(&error.into(), refusal))
}

/// A question that is not permitted gets no answer, and the refusal comes by itself.
fn why(error: &CallError, refusal: &Mutex<Option<String>>) -> DeletionError {
    match (error, refusal.lock().take()) {
        (CallError::Bus(BusError::Timeout), Some(refusal)) => DeletionError::NotPermitted(refusal),
        _ => DeletionError::JetStream(error.to_string()),
    }
}
