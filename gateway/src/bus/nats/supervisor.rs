//! Watches the connection and owns the gateway's own subscriptions: control messages and echoes.
//!
//! The state comes from the client's statistics and connection state, not from its events alone: its event queue drops
//! events when it is full. An event only makes the supervisor look sooner.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Event, Message, Subscriber};
use futures_util::StreamExt;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{Level, debug, info, warn};

use super::{
    Connection, Shared,
    barrier::{self, Barrier, Echo},
    message,
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
    changed: watch::Sender<u64>,
    missed: Arc<Notify>,
    metrics: BusMetrics,
    log_budget: &LogBudget,
) -> impl Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> + Send + Sync + use<> {
    let refusals = log_budget.cause("nats_refusal", Level::WARN);
    let drops = log_budget.cause("slow_consumer", Level::WARN);
    move |event| {
        match &event {
            // One for each message that the client dropped because a subscription's queue was full. It names the
            // subscription by a number that the client keeps to itself: any room may be concerned.
            Event::SlowConsumer(_) => {
                metrics.error("slow_consumer");
                missed.notify_one();
                if drops.admit() {
                    warn!("dropped a message of the bus: the queue of its room is full");
                }
            }
            Event::ServerError(error) => {
                metrics.error("server");
                if refusals.admit() {
                    warn!(%error, "NATS refused something");
                }
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
    /// Echoes of barriers, on their way to be counted.
    echoes: mpsc::Sender<Echo>,
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
        let supervisor = Self {
            shared,
            barrier,
            echoes,
            responder: None,
        };
        tokio::spawn(supervisor.run(events));
    }

    async fn run(mut self, mut events: watch::Receiver<u64>) {
        // Queued by the client until it is connected, and subscribed again by it after every reconnect.
        for subject in [
            self.shared.subjects.control_all(),
            self.shared.subjects.control_node(self.shared.config.node),
            self.shared.subjects.echoed(self.shared.config.node),
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
        *confirmed = None;
        if self.shared.up.swap(false, Ordering::AcqRel) {
            self.shared.status.send_replace(BusStatus::Down);
            self.shared.metrics.down();
            warn!("bus is down: lost the connection to NATS");
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

    /// Proves the connection by a barrier: its echo comes back only after the server has processed every SUB before
    /// it, and the other servers know of them too.
    async fn confirm(&mut self, server: &str) -> Result<(), BusError> {
        self.respond_for(server).await?;
        if self.shared.client.server_info().cluster.is_some() {
            barrier::meet(&self.shared).await?;
        }
        self.barrier.pass().await
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
        let echoes = self.echoes.clone();
        let echo_subject = shared.subjects.echoed(shared.config.node);
        tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                if let Some(server) = message::server(&message) {
                    shared.peers.lock().hear(server);
                }
                if message.subject.as_str() == echo_subject {
                    count_echo(&message, &echoes);
                } else if !message.payload.is_empty() {
                    shared.events.control(message.payload);
                }
            }
        });
    }
}

fn count_echo(message: &Message, echoes: &mpsc::Sender<Echo>) {
    let Some(echo) = barrier::read(&message.payload) else {
        return debug!("unreadable echo");
    };
    // A full queue means that nobody waits for these any more; the barrier times out by itself.
    let _ = echoes.try_send(echo);
}
