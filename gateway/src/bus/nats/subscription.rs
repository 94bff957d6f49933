//! The subscription of one room at NATS, ephemeral or durable: one SUB for each occupied room and gateway.
//!
//! Nothing else knows how a room's messages come out of the client. `async-nats` gives every subscription a queue of
//! its own, which is most of what a live room costs a gateway (`docs/benchmarks.md`); another way to tell the rooms
//! apart replaces the inside of this type.

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};

use crate::bus::BusError;

/// Dropping it sends UNSUB.
pub(super) struct RoomSubscription(Subscriber);

impl RoomSubscription {
    /// Queues the SUB; whether it counts yet is for a barrier or a probe on the same client to say.
    pub(super) async fn open(client: &Client, subject: String) -> Result<Self, BusError> {
        let subscriber = client.subscribe(subject).await;
        subscriber.map(Self).map_err(|_| BusError::Refused)
    }

    /// The next message; `None` when the client is closed.
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }

    /// A message that waits already. Outside tokio's cooperative budget: none can then only mean that the queue is
    /// empty.
    pub(super) fn waiting(&mut self) -> Option<Message> {
        tokio::task::unconstrained(self.0.next()).now_or_never().flatten()
    }
}
