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

use async_nats::{Event, Message, Subscriber, connection::State};
use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Shared,
    barrier::{self, Echo},
    message,
};
use crate::{bus::BusStatus, metrics::BusMetrics};

/// How often the connection state is looked at without an event.
const TICK: Duration = Duration::from_millis(250);
/// Gateways on one NATS server share the work of echoing.
const ECHO_GROUP: &str = "echo";
/// Barrier number of the supervisor's own echoes, never used by a barrier.
const OWN_ECHO: u64 = 0;

/// Turns client events into metrics, log lines and a wake-up of the supervisor.
pub(super) fn event_callback(
    changed: watch::Sender<u64>,
    metrics: BusMetrics,
) -> impl Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> + Send + Sync {
    move |event| {
        match &event {
            Event::SlowConsumer(_) => metrics.error("slow_consumer"),
            Event::ServerError(error) => {
                metrics.error("server");
                warn!(%error, "NATS refused something");
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
    /// Echoes of barriers, on their way to be counted.
    echoes: mpsc::Sender<Echo>,
    /// Turns when an own echo came back.
    own_echo: watch::Sender<u64>,
    /// Answers echo questions for the server that this gateway is connected to now.
    responder: Option<AbortHandle>,
}

impl Supervisor {
    pub(super) fn start(shared: Arc<Shared>, events: watch::Receiver<u64>, echoes: mpsc::Sender<Echo>) {
        let supervisor = Self {
            shared,
            echoes,
            own_echo: watch::Sender::new(0),
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
        let mut seen_connects = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                changed = events.changed() => if changed.is_err() { return },
            }
            seen_connects = self.look(seen_connects).await;
        }
    }

    /// Compares what is known with the client's state; returns the number of connects that are dealt with.
    async fn look(&mut self, seen_connects: u64) -> u64 {
        let connects = self.shared.client.statistics().connects.load(Ordering::Relaxed);
        let connected = self.shared.client.connection_state() == State::Connected;
        if connected && connects == seen_connects && self.shared.is_up() {
            return seen_connects;
        }
        if self.shared.up.swap(false, Ordering::AcqRel) {
            self.shared.status.send_replace(BusStatus::Down);
            self.shared.metrics.down();
            warn!("bus is down: lost the connection to NATS");
        }
        if !connected {
            return seen_connects;
        }
        match self.confirm().await {
            Ok(()) => {
                self.shared.up.store(true, Ordering::Release);
                self.shared.metrics.up();
                self.shared.status.send_replace(BusStatus::Up);
                let server = self.shared.client.server_info();
                info!(server = %server.server_name, version = %server.version, "bus is up: connected to NATS");
                connects
            }
            Err(reason) => {
                debug!(reason, "NATS is connected but does not answer yet");
                seen_connects
            }
        }
    }

    /// Proves the connection by an echo. It comes back only after the server has processed every SUB before it.
    async fn confirm(&mut self) -> Result<(), &'static str> {
        let server = self.shared.client.server_info().server_id;
        self.respond_for(server.clone()).await?;
        let mut returned = self.own_echo.subscribe();
        barrier::ask(&self.shared, OWN_ECHO, &server).map_err(|_| "echo was not sent")?;
        match timeout(self.shared.config.request_timeout, returned.changed()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err("echo did not come back"),
        }
    }

    async fn respond_for(&mut self, server: String) -> Result<(), &'static str> {
        let subscribe = self
            .shared
            .client
            .queue_subscribe(self.shared.subjects.echo(&server), ECHO_GROUP.to_owned());
        let mut questions = timeout(self.shared.config.request_timeout, subscribe)
            .await
            .map_err(|_| "client takes no subscription")?
            .map_err(|_| "client refused the subscription")?;
        let shared = self.shared.clone();
        let task = tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                if barrier::answer(&shared, &question.payload, &server).is_err() {
                    shared.metrics.error("echo");
                }
            }
        });
        if let Some(former) = self.responder.replace(task.abort_handle()) {
            former.abort();
        }
        Ok(())
    }

    fn receive(&self, mut subscriber: Subscriber) {
        let shared = self.shared.clone();
        let echoes = self.echoes.clone();
        let own_echo = self.own_echo.clone();
        let echo_subject = shared.subjects.echoed(shared.config.node);
        tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                if let Some(server) = message::server(&message) {
                    shared.peers.lock().hear(server);
                }
                if message.subject.as_str() == echo_subject {
                    count_echo(&message, &echoes, &own_echo);
                } else {
                    shared.events.control(message.payload);
                }
            }
        });
    }
}

fn count_echo(message: &Message, echoes: &mpsc::Sender<Echo>, own_echo: &watch::Sender<u64>) {
    match barrier::read(&message.payload) {
        Some(echo) if echo.number == OWN_ECHO => own_echo.send_modify(|count| *count += 1),
        // A full queue means that nobody waits for these any more; the barrier times out by itself.
        Some(echo) => drop(echoes.try_send(echo)),
        None => debug!("unreadable echo"),
    }
}
