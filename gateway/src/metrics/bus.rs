//! The bus as the gateway sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::family::{LabeledCounter, Registrar};

/// An echo on one machine takes under a millisecond; the time limit of a join ends the waiting.
const BARRIER_BUCKETS: [f64; 11] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0,
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
                [],
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

    /// A barrier ended; `result` is the label of its outcome.
    pub fn barrier(&self, result: &'static str, elapsed: Duration) {
        self.barriers.inc(result);
        self.barrier_duration.observe(elapsed.as_secs_f64());
    }
}
