//! Whether the gateway wants traffic.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use crate::bus::{BusCondition, BusStatus};
use crate::drain::Drain;
use crate::revocation::Revocations;

/// What readiness follows from. The bus tells its own state; the gateway tells the rest.
pub struct Readiness {
    bus: watch::Receiver<BusStatus>,
    condition: watch::Receiver<BusCondition>,
    critical: bool,
    drain: Arc<Drain>,
    revocations: Option<Arc<Revocations>>,
}

/// Why what is revoked is not known where the gateway may not make what it is kept in.
const NO_BUCKET: &str = "unknown: there is no bucket, which natter-gateway setup-bus makes";

/// Why a gateway is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReady {
    /// The gateway shuts down, or was told to drain.
    Draining,
    /// The bus was never connected since start: joins could only fail.
    BusConnecting,
    /// The bus is down and `critical` says that this gateway is of no use without it.
    BusDown,
    /// The gateway may not make streams, and some were never there since its start: `namespaces` says which.
    StreamsMissing,
    /// It is not known yet what is revoked: joins of rooms with access rules could only fail.
    RevocationsUnknown,
    /// The NATS server is too old for the durable rooms that are configured.
    NatsTooOld,
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    pub ready: bool,
    /// `connecting`, `up` or `down`; `down` alone does not make the gateway unready.
    pub bus: &'static str,
    pub draining: bool,
    /// The Service shall choose others; the gateway is ready for whoever comes all the same.
    pub cordoned: bool,
    pub reasons: Vec<NotReady>,
    /// `current`, or `unknown` (or what to do about it) while rooms with access rules wait; that alone does not make a gateway unready that once knew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocations: Option<&'static str>,
    #[serde(flatten)]
    pub condition: BusCondition,
}

impl Readiness {
    /// `critical`: whether the gateway is unready while the bus is down; a reload cannot change it.
    pub fn new(
        bus: watch::Receiver<BusStatus>,
        condition: watch::Receiver<BusCondition>,
        critical: bool,
        drain: Arc<Drain>,
    ) -> Self {
        Self {
            bus,
            condition,
            critical,
            drain,
            revocations: None,
        }
    }

    /// Not before it is known what is revoked; later it says so without making the gateway unready.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<Revocations>) -> Self {
        Self {
            revocations: Some(revocations),
            ..self
        }
    }

    pub fn report(&self) -> ReadinessReport {
        let bus = *self.bus.borrow();
        let condition = self.condition.borrow().clone();
        let draining = self.drain.is_draining();
        let revocations = self.revocations.as_deref();
        let was_current = revocations.is_none_or(Revocations::was_current);
        let reasons: Vec<_> = [
            draining.then_some(NotReady::Draining),
            (bus == BusStatus::Connecting).then_some(NotReady::BusConnecting),
            (bus == BusStatus::Down && self.critical).then_some(NotReady::BusDown),
            condition.awaits_streams.then_some(NotReady::StreamsMissing),
            (bus != BusStatus::Connecting && !was_current).then_some(NotReady::RevocationsUnknown),
            condition.refuses().then_some(NotReady::NatsTooOld),
        ]
        .into_iter()
        .flatten()
        .collect();
        ReadinessReport {
            ready: reasons.is_empty(),
            bus: bus.as_str(),
            draining,
            cordoned: self.drain.is_cordoned(),
            reasons,
            revocations: revocations.map(|revocations| {
                if revocations.is_current() {
                    "current"
                } else if revocations.is_missing() {
                    NO_BUCKET
                } else {
                    "unknown"
                }
            }),
            condition,
        }
    }
}
