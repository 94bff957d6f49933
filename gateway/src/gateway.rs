//! What the threads of one gateway share: settings, rooms, bus, metrics, and the way of a publication between them.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use natter_protocol::ErrorCode;
use natter_websocket::Limits;
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::Instant};
use tracing::debug;
use uuid::Uuid;

pub use crate::metrics::Source;
use crate::{
    bus::{BusError, BusEvents, Overloaded, SharedBus},
    channel::Channel,
    cluster::Cluster,
    config::Settings,
    drain::Drain,
    frame::DeliveryMark,
    inbox::{Inbox, Note},
    limits::FileLimit,
    metrics::Metrics,
    namespace::{Namespace, Namespaces},
    publication::{MessageId, Publication},
    rooms::{Joined, Rooms, WorkerId},
    telemetry::{LogBudget, PublishSpan, Tracer},
};

/// Log lines that one cause may write a second.
const LOG_LINES: u32 = 10;

pub struct Gateway {
    /// Identity of this process on the bus.
    pub node: Uuid,
    pub started: Instant,
    live: ArcSwap<Live>,
    pub metrics: Metrics,
    pub rooms: Arc<Rooms>,
    inboxes: Vec<Arc<Inbox>>,
    bus: OnceLock<SharedBus>,
    pub cluster: Cluster,
    pub clients: Clients,
    pub drain: Drain,
    pub file_limit: Arc<FileLimit>,
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
}

/// Connected clients by user; a user may be connected many times.
#[derive(Default)]
pub struct Clients {
    connected: AtomicU64,
    users: Mutex<HashMap<Arc<str>, u32>>,
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
        Arc::new_cyclic(|this| Self {
            node,
            started: Instant::now(),
            live: ArcSwap::from_pointee(live),
            metrics,
            rooms,
            inboxes,
            bus: OnceLock::new(),
            cluster: Cluster::new(node),
            clients: Clients::default(),
            drain: Drain::default(),
            file_limit: FileLimit::of_process(),
            log_budget: Arc::new(LogBudget::new(LOG_LINES)),
            tracer,
            runtime,
            this: this.clone(),
            open_sockets: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
        })
    }

    /// Connects the gateway to its bus, once, before a worker runs.
    pub fn attach(&self, bus: SharedBus) {
        // Only the assembly calls this, once.
        let _ = self.bus.set(bus);
    }

    pub fn bus(&self) -> Option<&SharedBus> {
        self.bus.get()
    }

    pub fn bus_is_up(&self) -> bool {
        self.bus().is_some_and(|bus| bus.is_up())
    }

    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    pub fn inbox(&self, worker: WorkerId) -> &Arc<Inbox> {
        &self.inboxes[worker]
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
        self.live.store(Arc::new(Live::new(settings, &self.metrics)));
        self.tell_workers(&Note::Reload);
    }

    /// Lets `worker` into the room; the first one subscribes it on the bus.
    pub fn join(&self, channel: &Channel, worker: WorkerId) -> Joined {
        self.rooms.join(
            channel,
            worker,
            || self.bus().map(|bus| bus.subscribe(channel.clone())),
            &self.runtime,
        )
    }

    /// Accepts a message and hands it to the bus. `Ok` says that the bus took it.
    pub fn publish(&self, namespace: &Namespace, accept: Accept<'_>) -> Result<MessageId, BusError> {
        let mut publication = Publication::new(accept.data);
        publication.info = accept.info;
        publication.tags = accept.tags;
        let id = publication.id;
        let span = self
            .tracer
            .publish(namespace.metrics.name(), accept.channel, id, accept.traceparent);
        publication.traceparent = span.as_ref().map(PublishSpan::traceparent);
        let result = match self.bus() {
            Some(bus) => bus.publish(accept.channel, &publication),
            None => Err(BusError::Disconnected),
        };
        match result {
            Ok(()) => namespace.metrics.published(accept.source),
            Err(error) => {
                namespace.metrics.refused(error.label());
                if let Some(span) = span {
                    span.fail(error.label());
                }
            }
        }
        debug!(message_id = %id, channel = accept.channel, ?result, "publication");
        result.map(|()| id)
    }

    fn mark(&self, channel: &str, publication: &Publication) -> Option<DeliveryMark> {
        let live = self.live.load();
        let namespace = live.namespaces.of(channel)?.metrics.clone();
        namespace.published(Source::Bus);
        let every = u64::from(live.settings.metrics.delivery_sample).max(1);
        let is_timed = self.sampled.fetch_add(1, Ordering::Relaxed).is_multiple_of(every);
        let span = publication.traceparent.as_deref().and_then(|traceparent| {
            self.tracer
                .deliver(namespace.name(), channel, publication.id, traceparent)
        });
        Some(DeliveryMark {
            namespace,
            accepted_at: is_timed.then_some(publication.accepted_at),
            span,
        })
    }
}

impl BusEvents for Gateway {
    fn publication(&self, channel: &str, publication: Publication) -> Result<(), Overloaded> {
        self.rooms.deliver(channel, |channel| {
            let mark = self.mark(channel, &publication)?;
            let frame = publication.encode(channel)?.with_delivery(mark);
            debug!(message_id = %publication.id, channel = &**channel, "delivery");
            Some(Note::Publication {
                channel: channel.clone(),
                frame: Arc::new(frame),
            })
        })
    }

    fn control(&self, message: Bytes) {
        self.cluster.receive(self, &message);
    }
}

impl Clients {
    /// Counts a client; returns the shared name of its user unless it is anonymous.
    pub fn add(&self, user: &str) -> Option<Arc<str>> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        if user.is_empty() {
            return None;
        }
        let mut users = self.users.lock();
        if let Some((name, _)) = users.get_key_value(user) {
            let name = name.clone();
            users.entry(name.clone()).and_modify(|count| *count += 1);
            return Some(name);
        }
        let name: Arc<str> = user.into();
        users.insert(name.clone(), 1);
        Some(name)
    }

    pub fn remove(&self, user: &str) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
        let mut users = self.users.lock();
        if let Some(count) = users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                users.remove(user);
            }
        }
    }

    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    pub fn users(&self) -> usize {
        self.users.lock().len()
    }
}
