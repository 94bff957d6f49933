//! What the threads of one gateway share: settings, rooms, bus, metrics, and the way of a publication between them.

mod access;
mod clients;
#[cfg(test)]
mod fixture;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use natter_protocol::{ErrorCode, Payload};
use natter_websocket::Limits;
use tokio::{runtime::Handle, time::Instant};
use tracing::{debug, warn};
use uuid::Uuid;

pub use self::clients::{Clients, TooMany};
pub use crate::metrics::Source;
use crate::{
    api::{self, ApiKeys, BusCalls},
    bus::{BoxFuture, BusError, BusEvents, BusRequest, Overloaded, SharedBus},
    channel::Channel,
    cluster::Cluster,
    config::Settings,
    drain::Drain,
    frame::DeliveryMark,
    history::{Position, Receipt, StoreError},
    inbox::{Inbox, Note},
    limits::{FileLimit, Limiter},
    metrics::{Metrics, Offer},
    namespace::{Namespace, Namespaces},
    outgoing::Outgoing,
    presence::Presence,
    proxy::Proxies,
    publication::Publication,
    reads::{MAX_PAGES, Reads},
    recovery::Recovery,
    revocation::Revocations,
    rooms::{Joined, Rooms, WorkerId},
    telemetry::{LogBudget, PublishSpan, Tracer},
    tls::Tls,
    token::Tokens,
};

/// Log lines that one cause may write a second.
const LOG_LINES: u32 = 10;

pub struct Gateway {
    /// Identity of this process on the bus.
    pub node: Uuid,
    pub started: Instant,
    live: ArcSwap<Live>,
    config_hash: ArcSwapOption<String>,
    config_error: ArcSwapOption<String>,
    pub metrics: Metrics,
    pub rooms: Arc<Rooms>,
    pub recovery: Arc<Recovery>,
    /// Of history, page by page, for clients and backends.
    pub reads: Reads,
    inboxes: Vec<Arc<Inbox>>,
    bus: OnceLock<SharedBus>,
    /// Who may call the server API.
    pub api_keys: ApiKeys,
    /// Calls of the server API that came over the bus.
    pub bus_calls: BusCalls,
    pub cluster: Cluster,
    pub presence: Presence,
    pub clients: Clients,
    /// Backends that are asked about what clients do.
    pub proxies: Proxies,
    /// Who says who clients are.
    pub tokens: Arc<Tokens>,
    /// What is not good any more.
    pub revocations: Arc<Revocations>,
    /// TLS of the public port.
    pub tls: Arc<Tls>,
    pub drain: Arc<Drain>,
    pub file_limit: Arc<FileLimit>,
    /// What connections may do together.
    pub limiter: Arc<Limiter>,
    pub log_budget: Arc<LogBudget>,
    pub tracer: Tracer,
    /// Drives the bus; workers hand it what has to wait.
    pub runtime: Handle,
    this: Weak<Self>,
    /// Sockets of sessions that are not gone yet, also those that only wait for the peer to close.
    pub open_sockets: AtomicU64,
    /// Counts publications, to time one in a number of them.
    sampled: AtomicU64,
}

/// The settings that workers act on, and what was made of them; replaced whole by a reload.
pub struct Live {
    pub settings: Settings,
    pub namespaces: Namespaces,
    pub limits: Limits,
}

/// A message on its way into a room.
pub struct Accept<'a> {
    pub channel: &'a str,
    /// JSON text without raw newlines.
    pub data: Bytes,
    pub info: Option<Bytes>,
    pub tags: Option<Bytes>,
    /// W3C trace context that came with the request.
    pub traceparent: Option<&'a str>,
    pub source: Source,
    /// Idempotency key of a publication in a durable room.
    pub key: Option<&'a str>,
}

/// What became of a message that was accepted.
pub enum Accepted {
    /// The bus took it; at most once from here on.
    Sent,
    /// The answer says whether it is stored.
    Storing(BoxFuture<Result<Receipt, StoreError>>),
}

impl Live {
    pub fn new(settings: Settings, metrics: &Metrics) -> Self {
        let limits = Limits {
            message_size: settings.client.message_size_limit,
            ..Limits::default()
        };
        Self {
            namespaces: Namespaces::new(&settings.rooms, metrics),
            settings,
            limits,
        }
    }

    /// The policy of a room, or why there is none.
    pub fn namespace(&self, channel: &str) -> Result<&Arc<Namespace>, ErrorCode> {
        natter_protocol::channel::check(channel, self.settings.client.channel_max_length)
            .map_err(|_| ErrorCode::BadRequest)?;
        self.namespaces.of(channel).ok_or(ErrorCode::UnknownChannel)
    }

    /// Data for a room as it travels: `None` when it is no JSON text where messages have to be.
    pub fn accepted_data(&self, channel: &str, data: Payload<'_>) -> Option<Bytes> {
        if self
            .namespaces
            .of(channel)
            .is_some_and(|namespace| namespace.is_binary())
        {
            Some(Bytes::copy_from_slice(data.bytes()))
        } else {
            data.json_line().map(|line| line.into_owned().into())
        }
    }
}

/// Subscribes a room; when the bus is away the members here go on among themselves until it is back.
async fn subscribe_or_go_on_alone(bus: SharedBus, channel: Channel) -> Result<Option<Position>, BusError> {
    match bus.subscribe(channel.clone(), None).await {
        Err(_) if !bus.is_up() => {
            bus.subscribe_later(channel);
            Ok(None)
        }
        result => result,
    }
}

/// What a client is told when a publication is not stored.
pub fn store_error_code(error: StoreError) -> ErrorCode {
    match error {
        StoreError::Bus(error) => error_code(error),
        StoreError::KeyReused => ErrorCode::BadRequest,
        StoreError::Full => ErrorCode::LimitExceeded,
    }
}

/// What a client is told when the bus does not take something: all of it may be tried again, but too large messages.
pub fn error_code(error: BusError) -> ErrorCode {
    match error {
        BusError::Disconnected | BusError::Timeout | BusError::Refused => ErrorCode::Internal,
        BusError::Overloaded => ErrorCode::TooManyRequests,
        BusError::TooLarge => ErrorCode::LimitExceeded,
    }
}

impl Gateway {
    pub fn new(
        node: Uuid,
        settings: Settings,
        metrics: Metrics,
        rooms: Arc<Rooms>,
        inboxes: Vec<Arc<Inbox>>,
        tracer: Tracer,
        runtime: Handle,
    ) -> Arc<Self> {
        let live = Live::new(settings, &metrics);
        let log_budget = Arc::new(LogBudget::new(LOG_LINES));
        let limiter = Limiter::new(metrics.limits.clone(), log_budget.clone());
        Arc::new_cyclic(|this| Self {
            node,
            started: Instant::now(),
            live: ArcSwap::from_pointee(live),
            config_hash: ArcSwapOption::empty(),
            config_error: ArcSwapOption::empty(),
            recovery: Arc::new(Recovery::new(rooms.clone(), &metrics.recovery, &limiter)),
            reads: Reads::new(MAX_PAGES, limiter.clone()),
            proxies: Proxies::new(metrics.proxies.clone(), log_budget.clone(), tracer.clone()),
            tokens: Arc::new(Tokens::new(
                metrics.tokens.clone(),
                log_budget.clone(),
                runtime.clone(),
            )),
            limiter,
            revocations: Revocations::new(metrics.revocations.clone()).into(),
            metrics,
            rooms,
            inboxes,
            bus: OnceLock::new(),
            api_keys: ApiKeys::default(),
            bus_calls: BusCalls::default(),
            cluster: Cluster::new(node),
            presence: Presence::new(node),
            clients: Clients::default(),
            tls: Arc::default(),
            drain: Arc::default(),
            file_limit: FileLimit::of_process(),
            log_budget,
            tracer,
            runtime,
            this: this.clone(),
            open_sockets: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
        })
    }

    /// Connects the gateway to its bus, once, before a worker runs.
    pub fn attach(&self, bus: SharedBus) {
        bus.prepare(self.live().namespaces.durable());
        // Only the assembly calls this, once.
        let _ = self.bus.set(bus);
    }

    pub fn bus(&self) -> Option<&SharedBus> {
        self.bus.get()
    }

    pub fn bus_is_up(&self) -> bool {
        self.bus().is_some_and(|bus| bus.is_up())
    }

    /// Durable namespaces in which nothing can be stored, as far as is known, and why.
    pub fn unusable_namespaces(&self) -> BTreeMap<String, String> {
        let condition = self.bus().map(|bus| bus.condition());
        condition.map_or_else(BTreeMap::new, |condition| condition.borrow().unusable())
    }

    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// SHA-1 of the configuration file that is in force, if there is one.
    pub fn config_hash(&self) -> Option<String> {
        self.config_hash.load().as_deref().cloned()
    }

    /// Tells which configuration file the settings in force are from; no reload is refused any more.
    pub fn set_config_hash(&self, hash: Option<String>) {
        self.config_hash.store(hash.map(Arc::new));
        self.config_error.store(None);
    }

    /// Why the last reload was refused; `None`: it was not.
    pub fn config_error(&self) -> Option<String> {
        self.config_error.load().as_deref().cloned()
    }

    /// Tells why a reload is refused.
    pub fn set_config_error(&self, error: String) {
        self.config_error.store(Some(Arc::new(error)));
    }

    /// How many workers share the connections.
    pub fn workers(&self) -> usize {
        self.inboxes.len()
    }

    pub fn inbox(&self, worker: WorkerId) -> &Arc<Inbox> {
        &self.inboxes[worker]
    }

    /// That of a worker that there may be.
    pub fn inbox_of(&self, worker: WorkerId) -> Option<&Arc<Inbox>> {
        self.inboxes.get(worker)
    }

    /// Sends a note to every worker.
    pub fn tell_workers(&self, note: &Note) {
        for inbox in &self.inboxes {
            inbox.push(note.clone());
        }
    }

    /// This gateway for a task that outlives the call; `None` while it is being dropped.
    pub fn shared(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Puts new settings into force on every worker.
    pub fn reload(&self, settings: Settings) {
        let live = Arc::new(Live::new(settings, &self.metrics));
        if let Some(bus) = self.bus() {
            bus.prepare(live.namespaces.durable());
        }
        self.live.store(live);
        self.tell_workers(&Note::Reload);
    }

    /// Lets `worker` into the room; the first one subscribes it on the bus.
    pub fn join(&self, channel: &Channel, namespace: &Namespace, worker: WorkerId) -> Joined {
        let subscribe = || {
            let bus = self.bus()?.clone();
            let (channel, policy) = (channel.clone(), namespace.history.clone());
            if !namespace.is_local_without_bus() {
                return Some(bus.subscribe(channel, policy));
            }
            Some(Box::pin(subscribe_or_go_on_alone(bus, channel)) as BoxFuture<_>)
        };
        self.rooms.join(channel, worker, subscribe, &self.runtime)
    }

    /// Accepts a message and hands it to the bus, in call order.
    pub fn publish(&self, namespace: &Namespace, accept: Accept<'_>) -> Result<Accepted, BusError> {
        let offer = namespace.metrics.offer(accept.source);
        let mut publication = Publication::new(accept.data);
        publication.info = accept.info;
        publication.tags = accept.tags;
        publication.is_binary = namespace.is_binary();
        let id = publication.id;
        let span = self
            .tracer
            .publish(namespace.metrics.name(), accept.channel, id, accept.traceparent);
        publication.traceparent = span.as_ref().map(PublishSpan::traceparent);
        let outcome = Outcome { offer, span };
        debug!(message_id = %id, channel = accept.channel, "publication");
        let Some(bus) = self.bus() else {
            outcome.refuse(BusError::Disconnected.label());
            return Err(BusError::Disconnected);
        };
        let Some(policy) = &namespace.history else {
            let result = match bus.publish(accept.channel, &publication) {
                Err(BusError::Disconnected)
                    if namespace.is_local_without_bus()
                        && !self.holds_back(&self.live(), namespace, accept.channel) =>
                {
                    namespace.metrics.degraded();
                    BusEvents::publication(self, accept.channel, publication)
                        .map_err(|Overloaded| BusError::Overloaded)
                }
                result => result,
            };
            match result {
                Ok(()) => outcome.offer.accept(),
                Err(error) => outcome.refuse(error.label()),
            }
            return result.map(|()| Accepted::Sent);
        };
        let stored = bus.store(accept.channel, policy, &publication, accept.key);
        Ok(Accepted::Storing(Box::pin(async move {
            let result = stored.await;
            match &result {
                Ok(receipt) if receipt.repeated => outcome.offer.repeat(),
                Ok(_) => outcome.offer.accept(),
                Err(error) => outcome.refuse(error.label()),
            }
            result
        })))
    }

    /// Tells the gateways with members of a room something about those here.
    pub fn announce(&self, channel: &str, message: Bytes) -> Result<(), BusError> {
        let bus = self.bus().ok_or(BusError::Disconnected)?;
        let live = self.live();
        let namespace = live.namespaces.of(channel);
        let policy = namespace.and_then(|namespace| namespace.history.as_ref());
        let announced = if message.len() > bus.max_message_size() {
            Err(BusError::TooLarge)
        } else {
            bus.announce(channel, policy, message)
        };
        self.metrics.presence.announced(announced);
        announced
    }

    fn mark(
        &self,
        live: &Live,
        namespace: &Namespace,
        channel: &str,
        publication: &Publication,
    ) -> DeliveryMark {
        let namespace = namespace.metrics.clone();
        namespace.received();
        let every = u64::from(live.settings.metrics.delivery_sample).max(1);
        let is_timed = self.sampled.fetch_add(1, Ordering::Relaxed).is_multiple_of(every);
        let span = publication.traceparent.as_deref().and_then(|traceparent| {
            self.tracer
                .deliver(namespace.name(), channel, publication.id, traceparent)
                .map(Arc::new)
        });
        DeliveryMark {
            namespace,
            accepted_at: is_timed.then_some(publication.accepted_at),
            span,
        }
    }
}

impl BusEvents for Gateway {
    fn publication(&self, channel: &str, publication: Publication) -> Result<(), Overloaded> {
        if self.withholds(channel) {
            // A durable room keeps it and comes again; its clients recover what was too much to keep.
            return if publication.offset > 0 {
                Err(Overloaded)
            } else {
                Ok(())
            };
        }
        self.rooms
            .deliver(channel, publication, |channel, publication, previous| {
                let live = self.live.load();
                let namespace = live.namespaces.of(&channel);
                if !self.is_presentable(&channel, namespace, publication) {
                    return None;
                }
                let namespace = namespace?;
                self.limiter
                    .room_given(&channel, namespace.options.publication_rate);
                let mark = self.mark(&live, namespace, &channel, publication);
                debug!(message_id = %publication.id, channel = &*channel, "delivery");
                let outgoing = Outgoing::new(channel, publication.clone(), mark);
                Some(if namespace.has_deltas() {
                    outgoing.after(previous)
                } else {
                    outgoing
                })
            })
    }

    fn control(&self, message: Bytes) {
        self.cluster.receive(self, &message);
    }

    fn request(&self, request: BusRequest) {
        if let Some(gateway) = self.shared() {
            api::take(gateway, request);
        }
    }

    fn presence(&self, channel: &str, from: Uuid, message: &[u8]) {
        self.presence.hear(self, channel, from, message);
    }

    fn removed(&self, channel: &str) {
        self.rooms.forget(channel);
    }

    fn lost(&self, channel: &str, position: Position) {
        self.metrics.recovery.lost();
        warn!(
            channel,
            offset = position.offset,
            "deliveries of a durable room have a gap that cannot be filled"
        );
        self.rooms.lose(channel, &position);
    }
}

/// The counters and the span that a message ends in.
struct Outcome {
    offer: Offer,
    span: Option<PublishSpan>,
}

impl Outcome {
    fn refuse(self, reason: &'static str) {
        self.offer.refuse(reason);
        if let Some(span) = self.span {
            span.fail(reason);
        }
    }
}
