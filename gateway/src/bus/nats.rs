//! The bus over NATS core subjects: at most once, one SUB per occupied room and gateway.
//!
//! `async-nats` hides outages from its callers: while it is disconnected `publish` queues silently and then blocks.
//! So nothing is handed to it unless the [`supervisor`] has seen the connection come up *and* an echo come back over
//! it, which proves that every room was subscribed again. Facts this rests on: `async-nats` writes the SUBs of a new
//! connection before queued publishes, and `flush` is no barrier.
//!
//! A room counts as subscribed only after the [`barrier`].

mod admission;
mod advisories;
mod barrier;
mod credentials;
mod deletion;
mod durable;
mod jetstream;
mod message;
mod subjects;
mod subscription;
mod supervisor;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectError, ServerAddr, connection::State};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::{Level, warn};
use uuid::Uuid;

use self::{
    admission::Admission, barrier::Barrier, durable::Durable, subscription::RoomSubscription,
    supervisor::Supervisor,
};
pub use self::{
    credentials::NatsFiles,
    deletion::{DeletedStream, DeletionError, delete_streams},
    jetstream::tested_servers,
    subjects::Subjects,
};
use super::{BoxFuture, Bus, BusCondition, BusError, BusEvents, BusStatus, Recipient};
use crate::{
    channel::Channel,
    history::{HistoryPolicy, Page, Position, Query, Receipt, StoreError},
    metrics::BusMetrics,
    publication::Publication,
    telemetry::LogBudget,
};

/// Room left in a message for the headers that travel with a publication, in bytes.
const HEADER_ALLOWANCE: usize = 8 * 1024;
/// Time that queued messages get to leave when the gateway stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Log lines a second for each thing that others on NATS can do wrong.
const LOG_LINES: u32 = 10;

/// How to reach NATS.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    pub servers: Vec<ServerAddr>,
    pub files: NatsFiles,
    /// Connection name shown by the server.
    pub name: String,
    pub prefix: String,
    /// Identity of this gateway among its peers.
    pub node: Uuid,
    pub ping_interval: Duration,
    /// Bound of one connection attempt and of one request.
    pub request_timeout: Duration,
    /// Bound of the wait until a room is subscribed everywhere.
    pub join_timeout: Duration,
    /// Joins and looks at heads that may be under way at once.
    pub join_concurrency: usize,
    /// Bound of the wait until a publication is stored, and of a read of history.
    pub store_timeout: Duration,
    /// Messages of one room that may wait here; more are dropped, and found again in durable rooms.
    pub subscription_capacity: usize,
}

pub struct Nats {
    shared: Arc<Shared>,
    barrier: Barrier,
    durable: Arc<Durable>,
    rooms: Arc<Mutex<HashMap<Channel, Forwarding>>>,
    runtime: tokio::runtime::Handle,
}

/// The task that hands on what one subscription brings; dropping it sends UNSUB.
struct Forwarding {
    task: AbortHandle,
    /// A task is not aborted in the middle of a turn: it looks here before it hands on what came meanwhile, which
    /// the next subscription of the room brings as well.
    ended: Arc<AtomicBool>,
}

impl Forwarding {
    fn start<F>(runtime: &tokio::runtime::Handle, forward: impl FnOnce(Arc<AtomicBool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ended = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn(forward(ended.clone())).abort_handle();
        Self { task, ended }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.task.abort();
    }
}

/// What the parts of the connection share.
struct Shared {
    client: Client,
    config: NatsConfig,
    subjects: Subjects,
    events: Arc<dyn BusEvents>,
    metrics: BusMetrics,
    log_budget: Arc<LogBudget>,
    /// Read on every publish, so an atomic beside the watch channel.
    up: AtomicBool,
    status: watch::Sender<BusStatus>,
    condition: watch::Sender<BusCondition>,
    /// What arrived live may not be all of it: heads of durable rooms are to be compared.
    missed: Arc<Notify>,
    /// Something suggests that a stream is gone or was changed.
    suspicion: Notify,
    /// NATS servers that gateways are connected to, learned from control messages.
    peers: Mutex<barrier::Peers>,
    admission: Admission,
}

/// Why the bus cannot even start to connect.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Nats {
    /// Starts connecting and returns at once; [`Bus::status`] tells when it is up. Must be called on the runtime that
    /// drives the connection.
    pub async fn connect(
        config: NatsConfig,
        events: Arc<dyn BusEvents>,
        metrics: BusMetrics,
    ) -> Result<Self, StartError> {
        let (changed, connection_events) = watch::channel(0_u64);
        let log_budget = Arc::new(LogBudget::new(LOG_LINES));
        tokio::spawn(log_budget.clone().run());
        let missed = Arc::<Notify>::default();
        let options = credentials::log_in(&config.servers, &config.files)
            .name(&config.name)
            .retry_on_initial_connect()
            .ping_interval(config.ping_interval)
            .connection_timeout(config.request_timeout)
            .request_timeout(Some(config.request_timeout))
            .subscription_capacity(config.subscription_capacity)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(supervisor::event_callback(
                changed,
                missed.clone(),
                metrics.clone(),
                &log_budget,
            ));
        let client = options.connect(config.servers.as_slice()).await?;

        let shared = Arc::new(Shared {
            client,
            subjects: Subjects::new(&config.prefix),
            admission: Admission::new(config.join_concurrency, metrics.clone()),
            config,
            events,
            metrics,
            log_budget,
            up: AtomicBool::new(false),
            status: watch::Sender::new(BusStatus::Connecting),
            condition: watch::Sender::default(),
            missed,
            suspicion: Notify::new(),
            peers: Mutex::default(),
        });
        let (barrier, echoes) = Barrier::start(shared.clone(), connection_events.clone());
        Supervisor::start(shared.clone(), connection_events, barrier.clone(), echoes);
        let durable = Durable::start(shared.clone()).await?;
        advisories::start(&shared).await?;
        Ok(Self {
            shared,
            barrier,
            durable,
            rooms: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        })
    }
}

/// 0.1 s doubling to 2 s, with jitter, so that a restarted server is found soon and gateways do not come in step.
fn reconnect_delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(5);
    let ceiling = (100_u64 << exponent).min(2_000);
    Duration::from_millis(fastrand::u64(ceiling / 2..=ceiling))
}

/// Tells one connection to NATS from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Connection {
    /// Counts connects, also those to the same server.
    number: u64,
    /// Id of the server; for a moment after a connect still that of the former one.
    server: String,
}

impl Shared {
    /// The connection that is there now.
    fn connection(&self) -> Option<Connection> {
        let connection = Connection {
            number: self.client.statistics().connects.load(Ordering::Relaxed),
            server: self.client.server_info().server_id,
        };
        let connected = self.client.connection_state() == State::Connected && !connection.server.is_empty();
        connected.then_some(connection)
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Queues a message in the client without ever waiting for it.
    fn send(&self, subject: String, headers: async_nats::HeaderMap, payload: Bytes) -> Result<(), BusError> {
        if !self.is_up() {
            return Err(BusError::Disconnected);
        }
        self.send_unchecked(subject, headers, payload)
    }

    /// As [`Shared::send`], for the messages that find out whether the connection is up.
    fn send_unchecked(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        payload: Bytes,
    ) -> Result<(), BusError> {
        // Outside tokio's cooperative budget: a pending answer can then only mean that the queue is full.
        let publish = tokio::task::unconstrained(self.client.publish_with_headers(subject, headers, payload));
        match publish.now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(match error.kind() {
                async_nats::client::PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge,
                _ => BusError::Refused,
            }),
            None => Err(BusError::Overloaded),
        }
    }
}

/// Hands every message of one room to the gateway until the task is aborted, which drops the subscription.
async fn forward(
    mut subscription: RoomSubscription,
    channel: Channel,
    ended: Arc<AtomicBool>,
    shared: Arc<Shared>,
) {
    while let Some(message) = subscription.next().await {
        if ended.load(Ordering::Acquire) {
            return;
        }
        match message::decode(message) {
            Ok(publication) => {
                if shared.events.publication(&channel, publication).is_err() {
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

/// Subscribes a room when the connection is back, and then hands on what it brings. A queue of the client that is full
/// meanwhile costs nothing but this task.
async fn forward_later(channel: Channel, ended: Arc<AtomicBool>, shared: Arc<Shared>) {
    match RoomSubscription::open(&shared.client, shared.subjects.ephemeral(&channel)).await {
        Ok(subscription) => forward(subscription, channel, ended, shared).await,
        Err(error) => warn!(%channel, %error, "a room was not subscribed: NATS client is closed"),
    }
}

impl Nats {
    fn subscribe_ephemeral(&self, channel: Channel) -> BoxFuture<Result<(), BusError>> {
        let shared = self.shared.clone();
        let rooms = self.rooms.clone();
        let barrier = self.barrier.clone();
        let runtime = self.runtime.clone();
        Box::pin(async move {
            if !shared.is_up() {
                return Err(BusError::Disconnected);
            }
            let deadline = Instant::now() + shared.config.join_timeout;
            let turn = shared.admission.turn(deadline).await?;
            let subscribe = async {
                let subject = shared.subjects.ephemeral(&channel);
                // Dropping the subscription, here or with its task, takes it back.
                let subscription = RoomSubscription::open(&shared.client, subject).await?;
                barrier.pass().await.map(|()| subscription)
            };
            let subscription = timeout_at(deadline, subscribe)
                .await
                .map_err(|_| BusError::Timeout)??;
            drop(turn);
            let forwarding = Forwarding::start(&runtime, |ended| {
                forward(subscription, channel.clone(), ended, shared)
            });
            rooms.lock().insert(channel, forwarding);
            Ok(())
        })
    }
}

impl Shared {
    /// Largest message that leaves room for its headers.
    fn max_message_size(&self) -> usize {
        self.client.max_payload().saturating_sub(HEADER_ALLOWANCE)
    }
}

impl Bus for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn publish(&self, channel: &str, publication: &Publication) -> Result<(), BusError> {
        if publication.data.len() > self.max_message_size() {
            return Err(BusError::TooLarge);
        }
        let subject = self.shared.subjects.ephemeral(channel);
        self.shared
            .send(subject, message::headers(publication), publication.data.clone())
    }

    fn store(
        &self,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        publication: &Publication,
        key: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        self.durable.store(channel, policy, publication, key)
    }

    fn history(
        &self,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        query: Query,
    ) -> BoxFuture<Result<Page, BusError>> {
        self.durable.history(channel, policy, query)
    }

    fn remove_history(&self, channel: &str, policy: &Arc<HistoryPolicy>) -> BoxFuture<Result<(), BusError>> {
        self.durable.remove_history(channel, policy)
    }

    fn subscribe(
        &self,
        channel: Channel,
        policy: Option<Arc<HistoryPolicy>>,
    ) -> BoxFuture<Result<Option<Position>, BusError>> {
        if let Some(policy) = policy {
            let subscribed = self.durable.clone().subscribe(channel, policy);
            return Box::pin(async move { subscribed.await.map(Some) });
        }
        let subscribed = self.subscribe_ephemeral(channel);
        Box::pin(async move { subscribed.await.map(|()| None) })
    }

    fn subscribe_later(&self, channel: Channel) {
        let shared = self.shared.clone();
        let forwarding = Forwarding::start(&self.runtime, |ended| {
            forward_later(channel.clone(), ended, shared)
        });
        self.rooms.lock().insert(channel, forwarding);
    }

    fn unsubscribe(&self, channel: &Channel) {
        self.rooms.lock().remove(channel);
        self.durable.unsubscribe(channel);
    }

    fn send(&self, to: Recipient, message: Bytes) -> Result<(), BusError> {
        let subject = match to {
            Recipient::All => self.shared.subjects.control_all(),
            Recipient::Node(node) => self.shared.subjects.control_node(node),
        };
        let headers = message::control_headers(&self.shared.client.server_info().server_id);
        self.shared.send(subject, headers, message)
    }

    fn prepare(&self, policies: Vec<Arc<HistoryPolicy>>) {
        self.durable.prepare(policies);
    }

    fn condition(&self) -> watch::Receiver<BusCondition> {
        self.shared.condition.subscribe()
    }

    fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.shared.status.subscribe()
    }

    fn max_message_size(&self) -> usize {
        self.shared.max_message_size()
    }

    fn server(&self) -> Option<String> {
        self.shared
            .is_up()
            .then(|| self.shared.client.server_info().server_name)
    }

    fn close(&self) -> BoxFuture<()> {
        let client = self.shared.client.clone();
        Box::pin(async move {
            if timeout(CLOSE_TIMEOUT, client.flush()).await.is_err() {
                warn!("messages may be left unsent: NATS did not take them in time");
            }
        })
    }
}
