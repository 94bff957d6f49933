//! An ephemeral room: what its subscription brings goes to the gateway at once. One SUB for each occupied room and gateway.

use std::sync::Arc;

use bytes::Bytes;
use tracing::{Level, warn};

use super::{
    Shared,
    link::{Delivery, Subscription, Taker},
    message,
};
use crate::channel::Channel;

pub(super) struct EphemeralRoom {
    channel: Channel,
    shared: Arc<Shared>,
}

impl EphemeralRoom {
    /// What comes before the room is joined finds nobody there.
    pub(super) fn subscribe(shared: &Arc<Shared>, channel: &Channel) -> Subscription {
        let room = Arc::new(Self {
            channel: channel.clone(),
            shared: shared.clone(),
        });
        shared.link.subscribe(&shared.subjects.ephemeral(channel), room)
    }
}

impl Taker for EphemeralRoom {
    fn take(self: Arc<Self>, delivery: &Delivery<'_>) {
        let Self { channel, shared } = &*self;
        if let Some(from) = message::presence(delivery) {
            return shared.hear_presence(channel, from, delivery.payload);
        }
        match message::decode(delivery, Bytes::copy_from_slice(delivery.payload)) {
            Ok(publication) => {
                if shared.events.publication(channel, publication).is_err() {
                    shared.metrics.error("worker_overloaded");
                }
            }
            Err(error) => {
                shared.metrics.error("undecodable");
                if shared.log_budget.cause("undecodable", Level::WARN).admit() {
                    warn!(%channel, %error, "dropped a message of the bus");
                }
            }
        }
    }
}
