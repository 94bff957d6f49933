//! Durable rooms over NATS: who subscribes when, what follows a gap, and what is looked at again.
//!
//! A join is: SUB of the live subject, the probe on the same connection (a barrier that also tells the head N), and from
//! then on everything after N, in order. The live copies are core NATS, at most once; their sequence headers show a gap,
//! which is filled from the stream before anything later is delivered ([`room`]). A lost *last* message shows no gap, so
//! every room's head is looked at again: soon after its join, after every reconnect, and now and then ([`checks`]).
//!
//! Streams are made or checked when a namespace is first used and again from time to time: one that was deleted and made
//! again counts from 1 under another epoch, and its rooms are told that their positions are lost.

mod checks;
mod room;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

use self::{checks::Joined, room::LiveRoom};
use super::{
    Shared,
    jetstream::{JetStream, Limits, StoredRoom, StreamError, Streams},
    subscription::RoomSubscription,
};
use crate::{
    bus::{BoxFuture, BusError},
    channel::Channel,
    history::{HistoryPolicy, Page, Position, Query, Receipt, StoreError},
    publication::Publication,
};

pub(super) struct Durable {
    shared: Arc<Shared>,
    jetstream: JetStream,
    /// Streams of the namespaces that were used so far, by namespace.
    streams: Mutex<HashMap<Arc<str>, Known>>,
    /// Held while streams are made, so that what waits for them goes on in its order.
    making: tokio::sync::Mutex<()>,
    rooms: Mutex<HashMap<Channel, Arc<LiveRoom>>>,
    joined: Joined,
    /// Something suggests that a stream is gone or was changed.
    suspicion: Notify,
    runtime: tokio::runtime::Handle,
}

#[derive(Clone)]
struct Known {
    policy: Arc<HistoryPolicy>,
    streams: Arc<Streams>,
}

impl Durable {
    pub(super) async fn start(shared: Arc<Shared>) -> Result<Arc<Self>, BusError> {
        let limits = Limits {
            request: shared.config.request_timeout,
            store: shared.config.store_timeout,
            history: shared.config.store_timeout,
        };
        let jetstream = JetStream::start(shared.client.clone(), shared.subjects.clone(), limits).await?;
        let (joined, queue) = checks::queue();
        let durable = Arc::new(Self {
            shared,
            jetstream,
            streams: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            rooms: Mutex::default(),
            joined,
            suspicion: Notify::new(),
            runtime: tokio::runtime::Handle::current(),
        });
        checks::start(&durable, queue);
        Ok(durable)
    }

    /// The room's stream, when its namespace was used before.
    fn known(&self, channel: &str, policy: &HistoryPolicy) -> Option<StoredRoom> {
        self.streams
            .lock()
            .get(&policy.namespace)
            .map(|known| known.streams.room(channel))
    }

    /// The room's stream, made or checked when this is the first use of its namespace.
    async fn stored_room(&self, channel: &str, policy: &Arc<HistoryPolicy>) -> Result<StoredRoom, BusError> {
        if let Some(room) = self.known(channel, policy) {
            return Ok(room);
        }
        let _making = self.making.lock().await;
        if let Some(room) = self.known(channel, policy) {
            return Ok(room);
        }
        let streams = self.ensure(policy).await?;
        let room = streams.room(channel);
        self.streams.lock().insert(
            policy.namespace.clone(),
            Known {
                policy: policy.clone(),
                streams,
            },
        );
        Ok(room)
    }

    async fn ensure(&self, policy: &Arc<HistoryPolicy>) -> Result<Arc<Streams>, BusError> {
        let streams = self.check_streams(policy).await?;
        if let Some(warning) = &streams.warning {
            warn!(namespace = %policy.namespace, "{warning}");
        }
        info!(namespace = %policy.namespace, partitions = streams.partitions().len(), "streams are ready");
        Ok(streams)
    }

    /// Makes what is missing and compares the rest.
    async fn check_streams(&self, policy: &HistoryPolicy) -> Result<Arc<Streams>, BusError> {
        match self.jetstream.ensure(policy).await {
            Ok(streams) => Ok(streams),
            Err(StreamError::Bus(error)) => Err(error),
            Err(error) => {
                self.shared.metrics.error("stream");
                error!(namespace = %policy.namespace, %error, "a durable namespace cannot be used");
                Err(BusError::Refused)
            }
        }
    }

    pub(super) fn store(
        self: &Arc<Self>,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        publication: &Publication,
        key: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        if !self.shared.is_up() {
            return Box::pin(std::future::ready(Err(BusError::Disconnected.into())));
        }
        if publication.data.len() > self.shared.max_message_size() {
            return Box::pin(std::future::ready(Err(BusError::TooLarge.into())));
        }
        if let Some(room) = self.known(channel, policy) {
            return self.watched(self.jetstream.store(&room, publication, key));
        }
        let (durable, channel, policy) = (self.clone(), channel.to_owned(), policy.clone());
        let (publication, key) = (publication.clone(), key.map(str::to_owned));
        Box::pin(async move {
            let room = durable.stored_room(&channel, &policy).await?;
            let stored = durable.jetstream.store(&room, &publication, key.as_deref());
            stored.await
        })
    }

    /// A store that fails although the bus is there makes the streams be looked at.
    fn watched(
        self: &Arc<Self>,
        stored: BoxFuture<Result<Receipt, StoreError>>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        let durable = self.clone();
        Box::pin(async move {
            let result = stored.await;
            if matches!(
                result,
                Err(StoreError::Bus(BusError::Disconnected | BusError::Refused))
            ) {
                durable.suspicion.notify_one();
            }
            result
        })
    }

    pub(super) fn history(
        self: &Arc<Self>,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        query: Query,
    ) -> BoxFuture<Result<Page, BusError>> {
        let (durable, channel, policy) = (self.clone(), channel.to_owned(), policy.clone());
        Box::pin(async move {
            if !durable.shared.is_up() {
                return Err(BusError::Disconnected);
            }
            let room = durable.stored_room(&channel, &policy).await?;
            let live = durable.rooms.lock().get(channel.as_str()).cloned();
            // What was delivered here must not be missing from what is read.
            let known = live
                .filter(|live| live.epoch() == room.partition.epoch)
                .map_or(0, |live| live.position.load(Ordering::Acquire));
            let page = durable.jetstream.page(&room, &query, known).await;
            if matches!(page, Err(BusError::Disconnected | BusError::Refused)) {
                durable.suspicion.notify_one();
            }
            page
        })
    }

    pub(super) fn remove_history(
        self: &Arc<Self>,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
    ) -> BoxFuture<Result<(), BusError>> {
        let (durable, channel, policy) = (self.clone(), channel.to_owned(), policy.clone());
        Box::pin(async move {
            if !durable.shared.is_up() {
                return Err(BusError::Disconnected);
            }
            let room = durable.stored_room(&channel, &policy).await?;
            durable.jetstream.remove(&room).await
        })
    }

    pub(super) async fn subscribe(
        self: Arc<Self>,
        channel: Channel,
        policy: Arc<HistoryPolicy>,
    ) -> Result<Position, BusError> {
        if !self.shared.is_up() {
            return Err(BusError::Disconnected);
        }
        let deadline = Instant::now() + self.shared.config.join_timeout;
        let join = async {
            let room = self.stored_room(&channel, &policy).await?;
            let turn = self.shared.admission.turn(deadline).await?;
            // Dropping the subscription, here or with its task, takes it back.
            let subscription = RoomSubscription::open(&self.shared.client, room.live.clone()).await?;
            let head = self.jetstream.head(&room).await?;
            drop(turn);
            Ok((room, subscription, head))
        };
        let joined = timeout_at(deadline, join).await.unwrap_or(Err(BusError::Timeout));
        if matches!(joined, Err(BusError::Disconnected | BusError::Refused)) {
            self.suspicion.notify_one();
        }
        let (room, subscription, head) = joined?;
        let position = Position {
            epoch: room.partition.epoch.clone(),
            offset: head,
        };
        let live = LiveRoom::start(&self, channel.clone(), policy, room, subscription, head);
        self.joined.add(&live);
        // The streams may have been made again since the room's was looked up.
        let moved = live.clone();
        if let Some(former) = self.rooms.lock().insert(channel, live) {
            former.stop();
        }
        if let Some(now) = self
            .known(&moved.channel, &moved.policy)
            .filter(|now| now.partition.epoch != moved.epoch())
        {
            moved.move_to(now);
        }
        Ok(position)
    }

    pub(super) fn unsubscribe(&self, channel: &Channel) {
        if let Some(room) = self.rooms.lock().remove(channel) {
            room.stop();
        }
    }
}
