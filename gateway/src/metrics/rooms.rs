//! Rooms from the first join to the last leave.

use std::time::Duration;

use prometheus::{Histogram, IntGauge};

use super::family::{LabeledCounter, Registrar};
use crate::bus::BusError;

const REFUSED_AT_ONCE: &str = "refused";

/// A join answers within milliseconds, or waits for a bus that comes back: up to its time limit of some
/// seconds.
const JOIN_BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Rooms and their members at this gateway.
#[derive(Clone, Debug)]
pub struct RoomMetrics {
    /// Rooms with a subscription at the bus, those that linger included.
    pub live: IntGauge,
    /// Memberships: a client in three rooms counts three times.
    pub subscriptions: IntGauge,
    joins: LabeledCounter,
    join_duration: Histogram,
}

impl RoomMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            live: registrar.gauge(
                "natter_rooms",
                "Rooms that this gateway is subscribed to at the bus",
            )?,
            subscriptions: registrar.gauge("natter_subscriptions", "Memberships of clients in rooms")?,
            joins: registrar.labeled(
                "natter_joins_total",
                "First joins of rooms, which subscribe at the bus, by result; `refused` = at once, because the bus is down",
                &["result"],
                ["ok", REFUSED_AT_ONCE],
            )?,
            join_duration: registrar.histogram(
                "natter_join_duration_seconds",
                "From the first join of a room until its subscription is known to be live",
                &JOIN_BUCKETS,
            )?,
        })
    }

    /// The first join of a room was answered by the bus after `elapsed`. Only successes are timed.
    pub fn joined(&self, result: Result<(), BusError>, elapsed: Duration) {
        match result {
            Ok(()) => {
                self.joins.inc("ok");
                self.join_duration.observe(elapsed.as_secs_f64());
            }
            Err(error) => self.joins.inc(error.label()),
        }
    }

    /// A join was refused without a question to the bus, which is down.
    pub fn refused_at_once(&self) {
        self.joins.inc(REFUSED_AT_ONCE);
    }
}
