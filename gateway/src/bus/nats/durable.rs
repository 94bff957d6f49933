//! Durable rooms over NATS: who subscribes when, what follows a gap, and what is looked at again.
//!
//! A join is: SUB of the live subject, the probe on the same connection (a barrier that also tells the head N), and from
//! then on everything after N, in order. The live copies are core NATS, at most once; their sequence headers show a gap,
//! which is filled from the stream before anything later is delivered ([`room`]). A lost *last* message shows no gap, so
//! every room's head is looked at again: soon after its join, after every reconnect, and now and then ([`checks`]).
//!
//! Streams are made or checked when the bus is up, and again from time to time and when something seems wrong
//! ([`namespaces`]): one that was deleted and made again counts from 1 under another epoch, and its rooms are told that their
//! positions are lost.

mod checks;
mod namespaces;
mod room;

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use self::{
    checks::Joins,
    namespaces::{Namespaces, Place},
    room::{Beginning, LiveRoom},
};
use super::{
    Shared,
    jetstream::{JetStream, Limits, StoredRoom},
    link::Subscription,
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
    /// Asks beside the subscriptions of the rooms.
    beside: JetStream,
    namespaces: Namespaces,
    rooms: Mutex<HashMap<Channel, Joined>>,
    joins: Joins,
    runtime: tokio::runtime::Handle,
}

/// A room and its subscription, which ends with it.
struct Joined {
    room: Arc<LiveRoom>,
    subscription: Subscription,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.room.stop();
    }
}

impl Durable {
    pub(super) async fn start(shared: Arc<Shared>) -> Result<Arc<Self>, BusError> {
        let limits = Limits {
            request: shared.config.request_timeout,
            store: shared.config.store_timeout,
            history: shared.config.store_timeout,
        };
        let jetstream = JetStream::start(
            shared.client.clone(),
            shared.subjects.clone(),
            limits,
            &shared.refusals,
        )
        .await?
        .managing_streams(shared.config.manage_streams);
        let (joins, queue) = checks::queue();
        let durable = Arc::new(Self {
            beside: jetstream.beside(&shared.link, &shared.refusals),
            shared,
            jetstream,
            namespaces: Namespaces::new(),
            rooms: Mutex::default(),
            joins,
            runtime: tokio::runtime::Handle::current(),
        });
        checks::start(&durable, queue);
        Ok(durable)
    }

    /// The handle over which everything but probes is asked.
    pub(super) fn jetstream(&self) -> JetStream {
        self.jetstream.clone()
    }

    /// As [`crate::bus::Bus::prepare`].
    pub(super) fn prepare(&self, policies: Vec<Arc<HistoryPolicy>>) {
        self.shared
            .expect(&policies, self.namespaces.new_among(&policies));
        self.namespaces.replace(policies, &self.shared.metrics);
        self.shared.suspicion.notify_one();
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
        let place = match self.namespaces.place(channel, policy) {
            Ok(Place::Ready(room)) => return self.store_in(&room, publication, key),
            Ok(Place::Waiting(place)) => place,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        let (durable, channel) = (self.clone(), channel.to_owned());
        let (publication, key) = (publication.clone(), key.map(str::to_owned));
        let deadline = Instant::now() + self.shared.config.store_timeout;
        Box::pin(async move {
            let made = timeout_at(deadline, durable.make(place.entry())).await;
            let room = made.map_err(|_| BusError::Timeout)??.room(&channel);
            let stored = durable.store_in(&room, &publication, key.as_deref());
            drop(place);
            stored.await
        })
    }

    /// A store that fails although the bus is there makes the streams be looked at; so does one that is given a
    /// sequence which was given before.
    fn store_in(
        self: &Arc<Self>,
        room: &StoredRoom,
        publication: &Publication,
        key: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        let (partition, seen) = (room.partition.clone(), room.partition.seen());
        let stored = self.jetstream.store(room, publication, key);
        let durable = self.clone();
        Box::pin(async move {
            let result = stored.await;
            let suspect = match &result {
                Ok(receipt) if !receipt.repeated && receipt.position.offset <= seen => {
                    partition.repeats_itself();
                    true
                }
                Ok(_) => false,
                Err(error) => matches!(error, StoreError::Bus(BusError::Disconnected | BusError::Refused)),
            };
            if suspect {
                durable.shared.suspicion.notify_one();
            }
            result
        })
    }

    /// Bounds a read or a removal, with all that it may have to make first.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
        let limit = self.shared.config.store_timeout;
        timeout(limit, work).await.unwrap_or(Err(BusError::Timeout))
    }

    pub(super) fn history(
        self: &Arc<Self>,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        query: Query,
    ) -> BoxFuture<Result<Page, BusError>> {
        let (durable, channel, policy) = (self.clone(), channel.to_owned(), policy.clone());
        Box::pin(async move { durable.bounded(durable.read(&channel, &policy, &query)).await })
    }

    async fn read(&self, channel: &str, policy: &HistoryPolicy, query: &Query) -> Result<Page, BusError> {
        if !self.shared.is_up() {
            return Err(BusError::Disconnected);
        }
        let room = self.stored_room(channel, policy).await?;
        let live = self.live_room(channel);
        // What was delivered here must not be missing from what is read.
        let known = live
            .filter(|live| live.epoch() == room.partition.epoch)
            .map_or(0, |live| live.known());
        let page = self.jetstream.page(&room, query, known).await;
        if matches!(page, Err(BusError::Disconnected | BusError::Refused)) {
            self.shared.suspicion.notify_one();
        }
        page
    }

    /// Where the gateways with members of a room listen.
    pub(super) fn live_subject(&self, channel: &str, policy: &HistoryPolicy) -> Option<String> {
        self.namespaces.room(channel, policy).map(|room| room.live)
    }

    fn live_room(&self, channel: &str) -> Option<Arc<LiveRoom>> {
        self.rooms.lock().get(channel).map(|joined| joined.room.clone())
    }

    fn live_rooms(&self) -> Vec<Arc<LiveRoom>> {
        self.rooms
            .lock()
            .values()
            .map(|joined| joined.room.clone())
            .collect()
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
            let remove = async {
                let room = durable.stored_room(&channel, &policy).await?;
                durable.jetstream.remove(&room).await
            };
            durable.bounded(remove).await
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
            let reached = self.jetstream.reached(&room.partition).await?;
            let live = LiveRoom::new(&self, channel.clone(), policy.clone(), room.clone());
            // Dropped with the join when that fails, and so taken back.
            let subscription = self.shared.link.subscribe(&room.live, live.clone());
            let joined = Joined {
                room: live,
                subscription,
            };
            let head = self.beside.head(&room).await?;
            drop(turn);
            if joined.subscription.is_refused() {
                return Err(BusError::Refused);
            }
            Ok((joined, Beginning { head, reached }))
        };
        let joined = timeout_at(deadline, join).await.unwrap_or(Err(BusError::Timeout));
        if matches!(joined, Err(BusError::Disconnected | BusError::Refused)) {
            self.shared.suspicion.notify_one();
        }
        let (joined, beginning) = joined?;
        let live = joined.room.clone();
        let position = Position {
            epoch: live.epoch(),
            offset: beginning.position(),
        };
        live.begin(beginning);
        self.joins.add(&live);
        let former = self.rooms.lock().insert(channel, joined);
        drop(former);
        // The streams may have been made again since the room's was looked up.
        if let Some(now) = self
            .namespaces
            .room(&live.channel, &live.policy)
            .filter(|now| now.partition.epoch != live.epoch())
        {
            live.move_to(now);
        }
        Ok(position)
    }

    pub(super) fn unsubscribe(&self, channel: &Channel) {
        let joined = self.rooms.lock().remove(channel);
        drop(joined);
    }
}
