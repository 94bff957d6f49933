//! The bus: what carries publications between gateways. Every publication goes through it, also one for members of
//! the same gateway, so that each message arrives once, and in one order for all members of a gateway. What one
//! gateway published keeps its order everywhere; messages of two gateways may reach a third and a fourth in two orders.
//!
//! [`Embedded`] does it inside one process and is the default; [`Nats`] does it over NATS subjects. One test suite
//! runs against both (`tests/tests/bus/both.rs`).

mod condition;
mod embedded;
mod kept;
mod nats;
mod request;

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

pub use self::{
    condition::{BusCondition, ServerCondition, ServerSupport},
    embedded::Embedded,
    kept::{Changes, Keep, KeepError, Kept, Mark, Stamp},
    nats::{
        DeletedStream, DeletionError, Duties, Nats, NatsConfig, NatsFiles, Permissions, Right, SetUpStreams,
        SetupError, Subjects, UserRights, delete_streams, set_up, tested_servers,
    },
    request::{Answer, BusRequest},
};
use crate::{
    channel::Channel,
    history::{HistoryPolicy, Page, Position, Query, Receipt, StoreError},
    publication::Publication,
};

pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Carries publications of rooms and control messages between gateways.
pub trait Bus: Send + Sync {
    /// `embedded` or `nats`, as shown in logs and traces.
    fn name(&self) -> &'static str;

    /// Hands `publication` over, in call order, without waiting: at most once, and refused at once when the bus is
    /// away or its queue is full.
    fn publish(&self, channel: &str, publication: &Publication) -> Result<(), BusError>;

    /// Hands `publication` over to be stored in a durable room, in call order, without waiting; the answer comes when
    /// it is stored, or known not to be, or after a bounded time. With a `key`, a repeat within the policy's window
    /// answers the first receipt and stores nothing.
    fn store(
        &self,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        publication: &Publication,
        key: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>>;

    /// Reads a durable room. Bounded in time.
    fn history(
        &self,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        query: Query,
    ) -> BoxFuture<Result<Page, BusError>>;

    /// Forgets a durable room's publications; epoch and offsets go on.
    fn remove_history(&self, channel: &str, policy: &Arc<HistoryPolicy>) -> BoxFuture<Result<(), BusError>>;

    /// Starts deliveries of `channel` to [`BusEvents`]; resolves when everything published from then on, by any
    /// gateway, will arrive. With a policy the room is durable and the answer is its position: exactly what follows
    /// it is delivered, in order, without gaps. Bounded in time.
    fn subscribe(
        &self,
        channel: Channel,
        policy: Option<Arc<HistoryPolicy>>,
    ) -> BoxFuture<Result<Option<Position>, BusError>>;

    /// Starts deliveries of an ephemeral room as soon as the bus is there, without waiting for it: until then, and for a
    /// moment after, nothing arrives.
    fn subscribe_later(&self, channel: Channel);

    /// Ends deliveries of `channel`. A later `subscribe` of the same room starts afresh.
    fn unsubscribe(&self, channel: &Channel);

    /// Sends a control message to gateways, the sender included when it is among `to`.
    fn send(&self, to: Recipient, message: Bytes) -> Result<(), BusError>;

    /// Tells the gateways with members of a room something about those here, in call order, without waiting, at most
    /// once; they get it by [`BusEvents::presence`], each beside the room's publications. With a policy the room is durable.
    fn announce(
        &self,
        channel: &str,
        policy: Option<&Arc<HistoryPolicy>>,
        message: Bytes,
    ) -> Result<(), BusError>;

    /// Keeps a value for every gateway; the answer, when it is kept, is the change: its store and its number, which is 0 where
    /// [`Keep::only_after`] names another change than the key's last one. Bounded in time.
    fn keep(&self, keep: Keep) -> BoxFuture<Result<Mark, KeepError>>;

    /// What is kept and was not known at `since`; all of it without a mark, or where the store cannot be shown to be the one of the
    /// mark still. Whatever was kept before the call is told. Bounded in time for each thousand of them.
    fn changes(&self, since: Option<Mark>) -> BoxFuture<Result<Changes, KeepError>>;

    /// Names the durable namespaces of the configuration, all of them, so that what they need is there before their
    /// first use. Does not wait.
    fn prepare(&self, _policies: Vec<Arc<HistoryPolicy>>) {}

    /// What operators should know about it, and its changes.
    fn condition(&self) -> watch::Receiver<BusCondition> {
        watch::channel(BusCondition::default()).1
    }

    /// Whether other gateways may be on it.
    fn is_shared(&self) -> bool {
        true
    }

    /// Whether it takes messages now; asked on every join.
    fn is_up(&self) -> bool;

    /// The state now, and its changes.
    fn status(&self) -> watch::Receiver<BusStatus>;

    /// Largest message that it carries, in bytes.
    fn max_message_size(&self) -> usize;

    /// Which server of the bus this gateway is connected to, when there are several.
    fn server(&self) -> Option<String>;

    /// Takes no more calls of the server API; those that it has taken have reached [`BusEvents`] by then. Bounded in time.
    fn leave_requests(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    /// Hands over what is queued and disconnects; bounded in time.
    fn close(&self) -> BoxFuture<()>;
}

/// What the bus tells its gateway. Called from any thread, must not block.
pub trait BusEvents: Send + Sync {
    /// A publication arrived; the embedded bus brings those of rooms that were not subscribed as well, to be ignored.
    /// An error says that this gateway could not take it: the embedded bus then refuses it.
    fn publication(&self, channel: &str, publication: Publication) -> Result<(), Overloaded>;
    fn control(&self, message: Bytes);
    /// A call of the server API. What is not answered is the caller's to give up.
    fn request(&self, _request: BusRequest) {}
    /// Another gateway tells something about its members of a room; this gateway's own words may come back.
    fn presence(&self, channel: &str, from: Uuid, message: &[u8]);
    /// What a durable room has published so far was removed from its history.
    fn removed(&self, channel: &str);
    /// Deliveries of a durable room have a gap that cannot be filled; it goes on from `position`.
    fn lost(&self, channel: &str, position: Position);
}

/// The queue towards a worker is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Overloaded;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    All,
    Node(Uuid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusStatus {
    /// Never connected so far.
    Connecting,
    Up,
    Down,
}

impl BusStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    #[error("the bus is not connected")]
    Disconnected,
    #[error("the bus takes no more messages at the moment")]
    Overloaded,
    #[error("the bus did not answer in time")]
    Timeout,
    #[error("the message is larger than the bus carries")]
    TooLarge,
    #[error("the bus refused the operation")]
    Refused,
}

impl BusError {
    /// Value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Disconnected => "bus_down",
            Self::Overloaded => "overloaded",
            Self::Timeout => "bus_timeout",
            Self::TooLarge => "too_large",
            Self::Refused => "bus_refused",
        }
    }
}

/// A bus chosen by the configuration.
pub type SharedBus = Arc<dyn Bus>;
