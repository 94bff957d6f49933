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
//!
//! # What is not known
//!
//! A gateway that does not answer may hold any number of connections, so its drain does not begin: nobody could say how long it
//! takes. What the kubelet finds says who is to blame. A gateway that is ready serves its clients and does not drain, whatever is
//! written on its pod; it is waited for without a bound, and a person is told. One that has not been ready for long either is frozen,
//! has lost its clients, and is given up; unless not one gateway answers, as where the bus is away and the way to all of them is cut.
//!
//! An order may be lost as well. It is given until the gateway says that it drains, at the rate that is wanted now, and the time of
//! the drain counts from the last order. So a gateway that is silent gets none: one that arrived when the way to it is mended would
//! find its time over, and the gateway would be removed with all its clients. Its first answer brings an order with a time of its own.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{Action, Gateway, Leaving, Sample, Why};

/// Time beyond the paced closes: for clients that are slow to answer, and for the operator to see it.
const SLACK: Duration = Duration::from_secs(30);
/// A rate that was said is the one that was told up to this share: it went through decimal digits.
const SAME_RATE: f64 = 1e-6;

/// How gateways leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leave {
    pub why: Why,
    /// Time that nodes and load balancers get to learn that a gateway takes no newcomers.
    pub settle: Duration,
    /// Connections that may be closed a second.
    pub rate: f64,
    /// Whether any gateway answers. Where none does it is the operator's own way that is broken, and none is given up.
    pub heard: bool,
    pub now: Timestamp,
}

/// How far a gateway is.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nobody told it yet.
    Staying,
    /// Load balancers have not heard of it yet.
    Settling,
    /// It can be drained; `Some` of the order if it was not given, did not arrive or is another one now, and its time can be said.
    Draining(Option<Action>),
    /// It could be drained if it said how many connections it has.
    Silent,
    /// Nothing is left, or its time is over.
    Done,
}

impl Leave {
    /// How far a gateway is on its way out.
    pub fn step(&self, gateway: &Gateway) -> Step {
        let Some(leaving) = gateway.leaving else {
            return Step::Staying;
        };
        if gateway.has_nobody() {
            return Step::Done;
        }
        if self.now < after(leaving.since, self.settle) {
            return Step::Settling;
        }
        match &gateway.sample {
            Some(sample) => self.step_of_heard(gateway, leaving, sample),
            None => self.step_of_silent(gateway, leaving),
        }
    }

    fn step_of_heard(&self, gateway: &Gateway, leaving: Leaving, sample: &Sample) -> Step {
        if sample.empty {
            return Step::Done;
        }
        let is_heard = sample.draining && sample.drain_rate.is_none_or(|rate| self.is_same(rate));
        match leaving.until.filter(|_| is_heard) {
            Some(until) if self.now >= until => Step::Done,
            Some(_) => Step::Draining(None),
            None => {
                let until = deadline(self.now, sample.connections, self.rate);
                Step::Draining(Some(self.drain(gateway, until)))
            }
        }
    }

    fn step_of_silent(&self, gateway: &Gateway, leaving: Leaving) -> Step {
        let is_frozen = self.is_given_up(gateway);
        let Some(until) = leaving.until else {
            return if is_frozen { Step::Done } else { Step::Silent };
        };
        // Who drains to the end is not ready for that long; a shorter while means nothing.
        let drains = gateway
            .unready_since
            .is_some_and(|since| after(since, SLACK) <= until);
        if self.now >= until && (drains && self.heard || is_frozen) {
            Step::Done
        } else {
            Step::Draining(None)
        }
    }

    /// Has a gateway closed to newcomers.
    pub fn cordon(&self, gateway: &Gateway) -> Action {
        Action::Cordon {
            pod: gateway.pod.clone(),
            why: self.why,
        }
    }

    /// Whether a gateway that does not answer has lost its clients.
    pub fn is_given_up(&self, gateway: &Gateway) -> bool {
        self.heard && gateway.is_frozen(self.now)
    }

    fn is_same(&self, rate: f64) -> bool {
        (rate - self.rate).abs() <= self.rate * SAME_RATE
    }

    fn drain(&self, gateway: &Gateway, until: Timestamp) -> Action {
        Action::Drain {
            pod: gateway.pod.clone(),
            rate: self.rate,
            until,
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
