//! Whether the gateway wants traffic.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::watch;

use crate::bus::{BusCondition, BusStatus};

/// What readiness follows from. The bus tells its own state; the gateway tells the rest.
#[derive(Debug)]
pub struct Readiness {
    bus: watch::Receiver<BusStatus>,
    condition: watch::Receiver<BusCondition>,
    critical: bool,
    draining: AtomicBool,
}

/// Why a gateway is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReady {
    /// The gateway shuts down.
    Draining,
    /// The bus was never connected since start: joins could only fail.
    BusConnecting,
    /// The bus is down and `critical` says that this gateway is of no use without it.
    BusDown,
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
    pub reasons: Vec<NotReady>,
    #[serde(flatten)]
    pub condition: BusCondition,
}

impl Readiness {
    /// `critical`: whether the gateway is unready while the bus is down; a reload cannot change it.
    pub fn new(
        bus: watch::Receiver<BusStatus>,
        condition: watch::Receiver<BusCondition>,
        critical: bool,
    ) -> Self {
        Self {
            bus,
            condition,
            critical,
            draining: AtomicBool::new(false),
        }
    }

    /// Not ready from now on, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn report(&self) -> ReadinessReport {
        let bus = *self.bus.borrow();
        let condition = self.condition.borrow().clone();
        let draining = self.is_draining();
        let reasons: Vec<_> = [
            draining.then_some(NotReady::Draining),
            (bus == BusStatus::Connecting).then_some(NotReady::BusConnecting),
            (bus == BusStatus::Down && self.critical).then_some(NotReady::BusDown),
            condition.refuses().then_some(NotReady::NatsTooOld),
        ]
        .into_iter()
        .flatten()
        .collect();
        ReadinessReport {
            ready: reasons.is_empty(),
            bus: bus.as_str(),
            draining,
            reasons,
            condition,
        }
    }
}
