//! Watches both connections and owns the gateway's own subscriptions: control messages and echoes. The bus is up while
//! both are there and proven; when either is lost it is down, until that one is back.
//!
//! The client's state comes from the client's statistics and connection state, not from its events alone: its event queue drops
//! events when it is full. An event only makes the supervisor look sooner.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Event, ServerError, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{Level, debug, info, warn};

use super::{
    Connection, Shared,
    barrier::{self, Barrier, Echo, Echoes},
    link::Subscription,
    message,
    refusals::{REFUSAL_LINES, Refusal, Refusals},
};
use crate::{
    bus::{BusError, BusStatus},
    metrics::BusMetrics,
    telemetry::LogBudget,
};

/// How often the connection state is looked at without an event.
const TICK: Duration = Duration::from_millis(250);

/// Turns client events into metrics, log lines and a wake-up of the supervisor.
pub(super) fn event_callback(
    name: String,
    changed: watch::Sender<u64>,
    metrics: BusMetrics,
    log_budget: &LogBudget,
    refusals: Arc<Refusals>,
) -> impl Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> + Send + Sync + use<> {
    let lines = log_budget.cause(REFUSAL_LINES, Level::WARN);
    let drops = log_budget.cause("slow_consumer", Level::WARN);
    move |event| {
        match &event {
            // One for each message that the client dropped because a subscription's queue was full: an answer of
            // JetStream or a control message.
            Event::SlowConsumer(_) => {
                metrics.error("slow_consumer");
                if drops.admit() {
                    warn!("dropped a message of the bus: its queue in the client is full");
                }
            }
            Event::ServerError(error) => {
                let text = match error {
                    ServerError::Other(text) => text.clone(),
                    other => other.to_string(),
                };
                let refusal = Refusal::read(&text);
                refusals.hear(&refusal);
                refusal.report(&text, &name, &metrics, &lines);
            }
            Event::ClientError(error) => {
                metrics.error("connection");
                debug!(%error, "NATS connection");
            }
            other => debug!(event = %other, "NATS connection"),
        }
        changed.send_modify(|count| *count += 1);
        Box::pin(std::future::ready(()))
    }
}

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    barrier: Barrier,
    /// Brings the echoes back.
    _echoed: Subscription,
    /// A message to itself came back over the client.
    returned: Arc<Notify>,
    /// Answers echo questions for the server that this gateway is connected to now.
    responder: Option<Responder>,
}

struct Responder {
    server: String,
    task: AbortHandle,
}

impl Supervisor {
    pub(super) fn start(
        shared: Arc<Shared>,
        events: watch::Receiver<u64>,
        barrier: Barrier,
        echoes: mpsc::Sender<Echo>,
    ) {
        let subject = shared.subjects.echoed(shared.config.node);
        let taker = Arc::new(Echoes {
            shared: shared.clone(),
            returned: echoes,
        });
        let supervisor = Self {
            _echoed: shared.link.subscribe(&subject, taker),
            shared,
            barrier,
            returned: Arc::default(),
            responder: None,
        };
        tokio::spawn(supervisor.run(events));
    }

    async fn run(mut self, mut events: watch::Receiver<u64>) {
        // Queued by the client until it is connected, and subscribed again by it after every reconnect.
        for subject in [
            self.shared.subjects.control_all(),
            self.shared.subjects.control_node(self.shared.config.node),
        ] {
            match self.shared.client.subscribe(subject).await {
                Ok(subscriber) => self.receive(subscriber),
                Err(error) => return warn!(%error, "the bus cannot start: NATS client is closed"),
            }
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut confirmed = None;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                changed = events.changed() => if changed.is_err() { return },
            }
            self.look(&mut confirmed).await;
        }
    }

    /// Compares the connection that was confirmed with the one that is there now.
    async fn look(&mut self, confirmed: &mut Option<Connection>) {
        let connection = self.shared.connection();
        if connection.is_some() && connection == *confirmed {
            return;
        }
        let former = confirmed.take();
        if self.shared.up.swap(false, Ordering::AcqRel) {
            self.shared.status.send_replace(BusStatus::Down);
            self.shared.metrics.down();
            let lost_rooms = former.is_some_and(|former| self.shared.link.connection() != Some(former.link));
            let connection = if lost_rooms { "rooms" } else { "requests" };
            warn!(connection, "bus is down: lost the connection to NATS");
        }
        let Some(connection) = connection else { return };
        match self.confirm(&connection.server).await {
            Ok(()) if self.shared.connection().as_ref() == Some(&connection) => {
                self.shared.up.store(true, Ordering::Release);
                self.shared.metrics.up();
                self.shared.status.send_replace(BusStatus::Up);
                let server = self.shared.client.server_info();
                self.shared.judge(&server.version);
                info!(server = %server.server_name, version = %server.version, "bus is up: connected to NATS");
                *confirmed = Some(connection);
            }
            Ok(()) => debug!("NATS was connected anew meanwhile"),
            Err(error) => debug!(%error, "NATS is connected but not of use yet"),
        }
    }

    /// Proves the connections: the client's by a message to itself, which comes back only after the server has processed
    /// every SUB before it; then the link's by a barrier, whose echo says the same of all rooms, and that the servers of
    /// other gateways know of them too.
    async fn confirm(&mut self, server: &str) -> Result<(), BusError> {
        self.respond_for(server).await?;
        self.round_trip(server).await?;
        if self.shared.client.server_info().cluster.is_some() {
            barrier::meet(&self.shared).await?;
        }
        self.barrier.pass().await
    }

    async fn round_trip(&self, server: &str) -> Result<(), BusError> {
        let own = self.shared.subjects.control_node(self.shared.config.node);
        // One that came late for an earlier call says nothing.
        while self.returned.notified().now_or_never().is_some() {}
        let headers = message::control_headers(server);
        self.shared.send_unchecked(own, headers, Bytes::new())?;
        let returned = timeout(self.shared.config.request_timeout, self.returned.notified());
        returned.await.map_err(|_| BusError::Timeout)
    }

    async fn respond_for(&mut self, server: &str) -> Result<(), BusError> {
        if self
            .responder
            .as_ref()
            .is_some_and(|responder| responder.server == server)
        {
            return Ok(());
        }
        // Gateways on one server share the work of echoing: the group is the server.
        let subscribe = self
            .shared
            .client
            .queue_subscribe(self.shared.subjects.echo(), server.to_owned());
        let mut questions = timeout(self.shared.config.request_timeout, subscribe)
            .await
            .map_err(|_| BusError::Timeout)?
            .map_err(|_| BusError::Refused)?;
        let shared = self.shared.clone();
        let group = server.to_owned();
        let task = tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                if barrier::answer(&shared, &question.payload, &group).is_err() {
                    shared.metrics.error("echo");
                }
            }
        });
        let responder = Responder {
            server: server.to_owned(),
            task: task.abort_handle(),
        };
        if let Some(former) = self.responder.replace(responder) {
            former.task.abort();
            // Whoever is still there makes itself heard; if it is dead, nobody has to wait for it.
            self.shared.peers.lock().forget(&former.server);
        }
        Ok(())
    }

    fn receive(&self, mut subscriber: Subscriber) {
        let shared = self.shared.clone();
        let returned = self.returned.clone();
        let own = shared.subjects.control_node(shared.config.node);
        tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                if let Some(server) = message::server(&message) {
                    shared.peers.lock().hear(server);
                }
                if !message.payload.is_empty() {
                    shared.events.control(message.payload);
                } else if message.subject.as_str() == own {
                    returned.notify_one();
                }
            }
        });
    }
}
