//! How one gateway goes, step by step, from what is seen of it.
//!
//! ```text
//! in the Service ─ cordon ─▶ settling ─ drain ─▶ draining ─ empty, or its time is over ─▶ done ─ mark ─▶ marked ─▶ removed
//! ```
//!
//! A Deployment cannot be told which pod to remove, only how many to keep; it prefers pods that are not ready, which a draining
//! gateway is not, and pods of low cost. So the cost is written, seen, and only then the Deployment gets one pod less. If it
//! removes another one all the same, the gateway that should have gone is still there, still counts as one that goes, and the
//! Deployment is told again.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{Action, Gateway, Why};

/// Time beyond the paced closes: for clients that are slow to answer, and for the operator to see it.
const SLACK: Duration = Duration::from_secs(30);

/// How gateways leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leave {
    pub why: Why,
    /// Time that nodes and load balancers get to learn that a gateway takes no newcomers.
    pub settle: Duration,
    /// Connections that may be closed a second.
    pub rate: f64,
    pub now: Timestamp,
}

/// How far a gateway is.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nobody told it yet.
    Staying,
    /// Load balancers have not heard of it yet.
    Settling,
    /// It can be drained; `Some` of the order if it was not given or did not arrive.
    Draining(Option<Action>),
    /// Nothing is left, or its time is over.
    Done,
}

impl Leave {
    /// How far a gateway is on its way out.
    pub fn step(&self, gateway: &Gateway) -> Step {
        let Some(leaving) = gateway.leaving else {
            return Step::Staying;
        };
        if !gateway.running {
            return Step::Done;
        }
        if self.now < after(leaving.since, self.settle) {
            return Step::Settling;
        }
        let Some(until) = leaving.until else {
            return Step::Draining(Some(self.drain(gateway, None)));
        };
        let empty = gateway.sample.as_ref().is_some_and(|sample| sample.empty);
        if empty || self.now >= until {
            return Step::Done;
        }
        // The order did not arrive, or the gateway was started again since.
        let unheard = gateway.sample.as_ref().is_some_and(|sample| !sample.draining);
        Step::Draining(unheard.then(|| self.drain(gateway, Some(until))))
    }

    /// Has a gateway closed to newcomers.
    pub fn cordon(&self, gateway: &Gateway) -> Action {
        Action::Cordon {
            pod: gateway.pod.clone(),
            why: self.why,
        }
    }

    fn drain(&self, gateway: &Gateway, until: Option<Timestamp>) -> Action {
        Action::Drain {
            pod: gateway.pod.clone(),
            rate: self.rate,
            until: until.unwrap_or_else(|| deadline(self.now, gateway.connections(), self.rate)),
        }
    }
}

/// When a drain is over at the latest.
pub fn deadline(now: Timestamp, connections: u64, rate: f64) -> Timestamp {
    let connections = f64::from(u32::try_from(connections).unwrap_or(u32::MAX));
    let paced = Duration::try_from_secs_f64(connections / rate.max(0.001)).unwrap_or(Duration::MAX);
    after(now, paced.saturating_add(SLACK))
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}
