//! The bus as the gateway sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::family::{LabeledCounter, Registrar};

/// An echo on one machine takes under a millisecond; the time limit of a join ends the waiting.
const BARRIER_BUCKETS: [f64; 11] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0,
];

/// Kinds of errors.
const KINDS: [&str; 15] = [
    "api_answer",
    "api_reply",
    "binary_payload",
    "connection",
    "echo",
    "gap",
    "gap_unreadable",
    "no_stream_message",
    "panic",
    "permission",
    "server",
    "slow_consumer",
    "stream",
    "undecodable",
    "worker_overloaded",
];

/// Connection, errors and join barriers of the bus.
#[derive(Clone, Debug)]
pub struct BusMetrics {
    up: IntGauge,
    connected_before: Arc<AtomicBool>,
    reconnects: IntCounter,
    errors: LabeledCounter,
    barriers: LabeledCounter,
    barrier_duration: Histogram,
    joins_in_flight: IntGauge,
    joins_delayed: IntCounter,
    server_info: IntGaugeVec,
    server_supported: IntGauge,
    streams_ready: IntGaugeVec,
    heads_checked: LabeledCounter,
}

/// Why the newest publication of a room is looked up although nothing shows that it is missing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadCheck {
    /// Soon after the room was joined.
    Join,
    Reconnect,
    /// From time to time.
    Turn,
    /// Live copies may have been dropped.
    Drop,
}

impl HeadCheck {
    const ALL: [Self; 4] = [Self::Join, Self::Reconnect, Self::Turn, Self::Drop];

    fn label(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Reconnect => "reconnect",
            Self::Turn => "turn",
            Self::Drop => "drop",
        }
    }
}

impl BusMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            up: registrar.gauge("natter_bus_up", "1 while the bus is connected, else 0")?,
            connected_before: Arc::default(),
            reconnects: registrar.counter(
                "natter_bus_reconnects_total",
                "Times that the bus was connected again after it had been lost",
            )?,
            errors: registrar.labeled(
                "natter_bus_errors_total",
                "Errors of the bus, by kind",
                &["kind"],
                KINDS,
            )?,
            barriers: registrar.labeled(
                "natter_join_barriers_total",
                "Checks that new subscriptions are live, each for all joins waiting, by result",
                &["result"],
                [],
            )?,
            barrier_duration: registrar.histogram(
                "natter_join_barrier_seconds",
                "Duration of the checks that new subscriptions are live",
                &BARRIER_BUCKETS,
            )?,
            joins_in_flight: registrar.gauge(
                "natter_joins_in_flight",
                "First joins and looks at heads that NATS has been asked for, at most bus.nats.join_concurrency",
            )?,
            joins_delayed: registrar.counter(
                "natter_joins_delayed_total",
                "First joins and looks at heads that waited because bus.nats.join_concurrency were under way",
            )?,
            server_info: registrar.gauges(
                "natter_nats_server_info",
                "Always 1; the label is the version of the NATS server that the gateway is connected to, or was last",
                &["version"],
            )?,
            server_supported: registrar.gauge(
                "natter_nats_server_supported",
                "1 when durable rooms are tested with that version or an older patch of it, else 0",
            )?,
            streams_ready: registrar.gauges(
                "natter_streams_ready",
                "1 when the streams of a durable namespace were found as they should be at the last look, else 0",
                &["room_namespace"],
            )?,
            heads_checked: registrar.labeled(
                "natter_head_checks_total",
                "Rooms whose newest publication was looked up for fear that it is missing here, by reason",
                &["reason"],
                HeadCheck::ALL.map(HeadCheck::label),
            )?,
        })
    }

    /// The bus is connected, for the first time or again.
    pub fn up(&self) {
        self.up.set(1);
        if self.connected_before.swap(true, Ordering::Relaxed) {
            self.reconnects.inc();
        }
    }

    /// The connection is lost.
    pub fn down(&self) {
        self.up.set(0);
    }

    /// `kind` is one of `KINDS`.
    pub fn error(&self, kind: &'static str) {
        self.errors.inc(kind);
    }

    /// A join waits for its turn.
    pub fn join_delayed(&self) {
        self.joins_delayed.inc();
    }

    /// A join asks NATS.
    pub fn join_began(&self) {
        self.joins_in_flight.inc();
    }

    /// It does so no more.
    pub fn join_ended(&self) {
        self.joins_in_flight.dec();
    }

    /// The NATS server that is connected now.
    pub fn server(&self, version: &str, supported: bool) {
        self.server_info.reset();
        self.server_info.with_label_values(&[version]).set(1);
        self.server_supported.set(supported.into());
    }

    /// Whether the streams of a namespace are there and as they should be.
    pub fn streams(&self, namespace: &str, ready: bool) {
        self.streams_ready
            .with_label_values(&[namespace])
            .set(ready.into());
    }

    /// A namespace is not looked after any more.
    pub fn forget_streams(&self, namespace: &str) {
        // An error says that it has no series.
        let _ = self.streams_ready.remove_label_values(&[namespace]);
    }

    /// The heads of `rooms` rooms are being looked up.
    pub fn heads_checked(&self, reason: HeadCheck, rooms: usize) {
        self.heads_checked
            .inc_by(reason.label(), u64::try_from(rooms).unwrap_or(u64::MAX));
    }

    /// A barrier ended; `result` is the label of its outcome.
    pub fn barrier(&self, result: &'static str, elapsed: Duration) {
        self.barriers.inc(result);
        self.barrier_duration.observe(elapsed.as_secs_f64());
    }
}
