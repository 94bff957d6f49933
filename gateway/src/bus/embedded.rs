//! The bus inside one process: the default of the one-command start.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::{BoxFuture, Bus, BusError, BusEvents, BusStatus, Recipient};
use crate::{channel::Channel, publication::Publication};

/// What one publication may carry, as NATS's default `max_payload`, so that moving to NATS refuses nothing new.
const MAX_MESSAGE_SIZE: usize = 1 << 20;

pub struct Embedded {
    node: Uuid,
    events: Arc<dyn BusEvents>,
    /// Never changes: it is always up.
    status: watch::Sender<BusStatus>,
}

impl Embedded {
    /// `node` is the identity of the gateway that `events` belongs to.
    pub fn new(node: Uuid, events: Arc<dyn BusEvents>) -> Self {
        Self {
            node,
            events,
            status: watch::Sender::new(BusStatus::Up),
        }
    }
}

impl Bus for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn publish(&self, channel: &str, publication: &Publication) -> Result<(), BusError> {
        if publication.data.len() > MAX_MESSAGE_SIZE {
            return Err(BusError::TooLarge);
        }
        self.events
            .publication(channel, publication.clone())
            .map_err(|_| BusError::Overloaded)
    }

    fn subscribe(&self, _channel: Channel) -> BoxFuture<Result<(), BusError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, _channel: &Channel) {}

    fn send(&self, to: Recipient, message: Bytes) -> Result<(), BusError> {
        if to == Recipient::All || to == Recipient::Node(self.node) {
            self.events.control(message);
        }
        Ok(())
    }

    fn is_up(&self) -> bool {
        true
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.status.subscribe()
    }

    fn max_message_size(&self) -> usize {
        MAX_MESSAGE_SIZE
    }

    fn server(&self) -> Option<String> {
        None
    }

    fn close(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }
}
