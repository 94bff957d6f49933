//! Bringing connections to gateways that came later.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::fleet::{Action, Fleet, Gateway};

/// A gateway is not judged before it has been ready for so long: it fills by itself where many clients come and go.
const FILL: Duration = Duration::from_mins(1);
/// A difference below so many connections is not worth a reconnect.
const LEAST: u64 = 20;

/// When to rebalance, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rebalance {
    /// Percent above the mean from which a gateway is too full.
    pub skew_percent: u64,
    /// Connections that may be closed a second.
    pub rate: f64,
    pub now: Timestamp,
}

/// Tells the fullest gateway to shed what it has above the mean, if nothing else is going on.
pub fn rebalance(fleet: &Fleet, rebalance: &Rebalance) -> Option<Action> {
    let gateways = &fleet.current.gateways;
    let count = u64::try_from(gateways.len()).ok().filter(|count| *count > 1)?;
    let settled = fleet.former.is_empty() && gateways.iter().all(|gateway| rebalance.is_settled(gateway));
    if !settled {
        return None;
    }
    let mean = fleet.connections() / count;
    let fullest = gateways.iter().max_by_key(|gateway| gateway.connections())?;
    let above = fullest.connections().saturating_sub(mean);
    let limit = mean.saturating_mul(rebalance.skew_percent) / 100;
    (above > limit.max(LEAST)).then(|| Action::Shed {
        pod: fullest.pod.clone(),
        connections: above,
        rate: rebalance.rate,
    })
}

impl Rebalance {
    fn is_settled(&self, gateway: &Gateway) -> bool {
        let ready = gateway
            .ready_since
            .and_then(|since| since.checked_add(FILL).ok())
            .is_some_and(|filled| self.now >= filled);
        let quiet = gateway
            .sample
            .as_ref()
            .is_some_and(|sample| sample.shedding == 0 && !sample.draining && sample.bus_up);
        ready && quiet && gateway.serves()
    }
}
