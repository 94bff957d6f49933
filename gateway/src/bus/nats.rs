//! The bus over NATS core subjects: at most once, one SUB per occupied room and gateway.
//!
//! There are two connections: the client of `async-nats`, for all that is published and asked, and the [`link`], which holds
//! the subscriptions of rooms.
//!
//! `async-nats` hides outages from its callers: while it is disconnected `publish` queues silently and then blocks.
//! So nothing is handed to it unless the [`supervisor`] has seen both connections come up *and* an echo come back, which
//! proves that every room was subscribed again. Facts this rests on: `async-nats` writes the SUBs of a new
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
mod link;
mod message;
mod permissions;
mod refusals;
mod requests;
mod room;
mod setup;
mod subjects;
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
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;
use uuid::Uuid;

use self::{
    admission::Admission,
    barrier::Barrier,
    credentials::{Login, without_login},
    durable::Durable,
    link::{Link, LinkConfig, Subscription},
    refusals::Refusals,
    requests::Requests,
    room::EphemeralRoom,
    supervisor::Supervisor,
};
pub use self::{
    credentials::NatsFiles,
    deletion::{DeletedStream, DeletionError, delete_streams},
    jetstream::tested_servers,
    permissions::{Duties, Permissions, Right, UserRights},
    setup::{SetUpStreams, SetupError, set_up},
    subjects::Subjects,
};
use super::{
    BoxFuture, Bus, BusCondition, BusError, BusEvents, BusStatus, Changes, Keep, KeepError, Mark, Recipient,
};
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
    /// Messages of a durable room that may wait while others are fetched or a worker is full, and answers that may wait in
    /// the client; more are dropped, and those of rooms found again.
    pub subscription_capacity: usize,
    /// Whether calls of the server API are taken.
    pub serves_api: bool,
    /// Whether streams are made and changed, and not only checked.
    pub manage_streams: bool,
}

pub struct Nats {
    shared: Arc<Shared>,
    barrier: Barrier,
    durable: Arc<Durable>,
    rooms: Arc<Mutex<HashMap<Channel, Subscription>>>,
    requests: Option<Arc<Requests>>,
}

/// What the parts of the bus share.
struct Shared {
    client: Client,
    link: Link,
    config: NatsConfig,
    subjects: Subjects,
    events: Arc<dyn BusEvents>,
    metrics: BusMetrics,
    log_budget: Arc<LogBudget>,
    refusals: Arc<Refusals>,
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
    #[error("an address of a server: {0}")]
    Address(#[from] std::io::Error),
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
        let login = Login::new(&config.servers, config.files.clone());
        let subjects = Subjects::new(&config.prefix);
        let refusals = Arc::<Refusals>::default();
        let options = login
            .options()
            .name(&config.name)
            .retry_on_initial_connect()
            .ping_interval(config.ping_interval)
            .connection_timeout(config.request_timeout)
            .request_timeout(Some(config.request_timeout))
            .subscription_capacity(config.subscription_capacity)
            .reconnect_delay_callback(reconnect_delay)
            .custom_inbox_prefix(subjects.inbox())
            .event_callback(supervisor::event_callback(
                config.name.clone(),
                changed.clone(),
                metrics.clone(),
                &log_budget,
                refusals.clone(),
            ));
        let servers = without_login(&config.servers)?;
        let client = options.connect(servers.as_slice()).await?;
        let link = Link::start(LinkConfig {
            servers,
            login,
            name: format!("{} rooms", config.name),
            ping_interval: config.ping_interval,
            connect_timeout: config.request_timeout,
            pause: reconnect_delay,
            changed,
            metrics: metrics.clone(),
            log_budget: log_budget.clone(),
            refusals: refusals.clone(),
        });

        let awaits_streams = !config.manage_streams;
        let shared = Arc::new(Shared {
            client,
            link,
            subjects,
            refusals,
            admission: Admission::new(config.join_concurrency, metrics.clone()),
            config,
            events,
            metrics,
            log_budget,
            up: AtomicBool::new(false),
            status: watch::Sender::new(BusStatus::Connecting),
            condition: watch::Sender::new(BusCondition::expecting(awaits_streams)),
            missed: Arc::default(),
            suspicion: Notify::new(),
            peers: Mutex::default(),
        });
        let (barrier, echoes) = Barrier::start(shared.clone(), connection_events.clone());
        Supervisor::start(shared.clone(), connection_events, barrier.clone(), echoes);
        let durable = Durable::start(shared.clone()).await?;
        advisories::start(&shared).await?;
        let requests = if shared.config.serves_api {
            Some(Requests::start(&shared).await?.into())
        } else {
            None
        };
        Ok(Self {
            shared,
            barrier,
            durable,
            rooms: Arc::default(),
            requests,
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

/// Tells the connections to NATS from the next ones.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Connection {
    /// Counts connects of the client, also those to the same server.
    number: u64,
    /// Id of the client's server; for a moment after a connect still that of the former one.
    server: String,
    /// Number of the link's connection.
    link: u64,
}

impl Shared {
    /// The connections that are there now, when both are.
    fn connection(&self) -> Option<Connection> {
        let connection = Connection {
            number: self.client.statistics().connects.load(Ordering::Relaxed),
            server: self.client.server_info().server_id,
            link: self.link.connection()?,
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

    /// A gateway says something about its members of a room; what this one says comes back.
    fn hear_presence(&self, channel: &str, from: Uuid, message: &[u8]) {
        if from != self.config.node {
            self.events.presence(channel, from, message);
        }
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

impl Nats {
    fn subscribe_ephemeral(&self, channel: Channel) -> BoxFuture<Result<(), BusError>> {
        let shared = self.shared.clone();
        let rooms = self.rooms.clone();
        let barrier = self.barrier.clone();
        Box::pin(async move {
            if !shared.is_up() {
                return Err(BusError::Disconnected);
            }
            let deadline = Instant::now() + shared.config.join_timeout;
            let turn = shared.admission.turn(deadline).await?;
            // Dropping the subscription, here or with its room, takes it back.
            let subscription = EphemeralRoom::subscribe(&shared, &channel);
            timeout_at(deadline, barrier.pass())
                .await
                .map_err(|_| BusError::Timeout)??;
            drop(turn);
            if subscription.is_refused() {
                return Err(BusError::Refused);
            }
            rooms.lock().insert(channel, subscription);
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
        let subscription = EphemeralRoom::subscribe(&self.shared, &channel);
        self.rooms.lock().insert(channel, subscription);
    }

    fn unsubscribe(&self, channel: &Channel) {
        let subscription = self.rooms.lock().remove(channel);
        drop(subscription);
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

    fn announce(
        &self,
        channel: &str,
        policy: Option<&Arc<HistoryPolicy>>,
        message: Bytes,
    ) -> Result<(), BusError> {
        let subject = match policy {
            None => self.shared.subjects.ephemeral(channel),
            // Whoever has members there has made its streams.
            Some(policy) => self
                .durable
                .live_subject(channel, policy)
                .ok_or(BusError::Overloaded)?,
        };
        let headers = message::presence_headers(self.shared.config.node);
        self.shared.send(subject, headers, message)
    }

    fn prepare(&self, policies: Vec<Arc<HistoryPolicy>>) {
        self.durable.prepare(policies);
    }

    fn keep(&self, keep: Keep) -> BoxFuture<Result<Mark, KeepError>> {
        let jetstream = self.durable.jetstream();
        Box::pin(async move { jetstream.keep(&keep).await })
    }

    fn changes(&self, since: Option<Mark>) -> BoxFuture<Result<Changes, KeepError>> {
        let jetstream = self.durable.jetstream();
        Box::pin(async move { jetstream.changes(since).await })
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

    fn leave_requests(&self) -> BoxFuture<()> {
        let requests = self.requests.clone();
        Box::pin(async move {
            if let Some(requests) = requests {
                requests.leave(Instant::now() + CLOSE_TIMEOUT).await;
            }
        })
    }

    fn close(&self) -> BoxFuture<()> {
        let client = self.shared.client.clone();
        Box::pin(async move {
            if !matches!(timeout(CLOSE_TIMEOUT, round_trip(&client)).await, Ok(Ok(()))) {
                warn!("messages may be left unsent: NATS did not take them in time");
            }
        })
    }
}

/// Resolves when the server has processed all that was published before. `flush` would say only that it was given to the
/// system, which forgets it when the process ends before the server has read it.
async fn round_trip(client: &Client) -> Result<(), async_nats::Error> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Bytes::new()).await?;
    let answer = answers.next().await;
    answer.map(drop).ok_or_else(|| "the client is closed".into())
}
