//! One pod: what Kubernetes holds of it, what its gateway does, and what the operator has heard.

use super::*;

/// Seconds until a pod is ready.
pub(super) const START: i64 = 3;
/// Seconds that the operator goes by an answer.
const MAX_AGE: i64 = 30;
/// Seconds that a call waits for a way to the gateway.
const HANGS: i64 = 2;

pub(super) struct Pod {
    pub(super) revision: String,
    pub(super) made: i64,
    /// What Kubernetes holds of it.
    pub(super) gateway: Gateway,
    /// When it became ready or ceased to be.
    pub(super) changed: i64,
    pub(super) ready: bool,
    /// It is not ready before that, whatever it does.
    pub(super) unready_until: i64,
    /// Its ops port cannot be reached before that; what is asked and told last hangs, and arrives then.
    pub(super) cut_until: i64,
    /// What the gateway does.
    pub(super) cordoned: bool,
    /// Connections a second that it closes now.
    pub(super) rate: Option<f64>,
    /// Cuts that each of its clients has had.
    pub(super) clients: Vec<u32>,
    /// What the operator heard of it last.
    pub(super) heard: Option<(i64, Sample)>,
}

impl Pod {
    pub(super) fn new(revision: &str, pod: &str, made: i64) -> Self {
        let gateway = Gateway {
            pod: pod.to_owned(),
            made: Some(at(made)),
            running: true,
            accepting: true,
            ..Gateway::default()
        };
        Self {
            revision: revision.to_owned(),
            made,
            gateway,
            changed: made,
            ready: false,
            unready_until: made + START,
            cut_until: made,
            cordoned: false,
            rate: None,
            clients: Vec::new(),
            heard: None,
        }
    }

    /// A revision whose name says so never gets ready.
    pub(super) fn probe(&mut self, now: i64) {
        let ready = !self.revision.starts_with("bad") && self.rate.is_none() && now >= self.unready_until;
        if ready != self.ready {
            (self.ready, self.changed) = (ready, now);
        }
    }

    /// Whether an answer comes in time for a decision.
    pub(super) fn answers(&self, now: i64) -> bool {
        now > self.made && now >= self.cut_until
    }

    /// Whether a call that is made now arrives.
    pub(super) fn is_reached(&self, now: i64) -> bool {
        now + HANGS >= self.cut_until
    }

    /// Whether a client gets in.
    pub(super) fn is_open(&self) -> bool {
        self.ready && self.gateway.accepting && self.rate.is_none()
    }

    pub(super) fn hear(&mut self, now: i64, bus_up: bool) {
        let sample = Sample {
            connections: self.clients.len() as u64,
            connection_limit: 100_000,
            cordoned: self.cordoned,
            draining: self.rate.is_some(),
            drain_rate: self.rate,
            empty: self.rate.is_some() && self.clients.is_empty(),
            bus_up,
            ..Sample::default()
        };
        self.heard = Some((now, sample));
    }

    pub(super) fn seen(&self, now: i64) -> Gateway {
        let heard = self.heard.as_ref().filter(|(when, _)| now - when <= MAX_AGE);
        Gateway {
            ready_since: self.ready.then(|| at(self.changed)),
            unready_since: (!self.ready).then(|| at(self.changed)),
            has_served: self.changed > self.made,
            ever_ready: self.changed > self.made,
            sample: heard.map(|(_, sample)| sample.clone()),
            ..self.gateway.clone()
        }
    }

    /// What Kubernetes holds of it from now on.
    pub(super) fn write(&mut self, action: &Action, now: i64) {
        let gateway = &mut self.gateway;
        match action {
            Action::Cordon { why, .. } => {
                gateway.accepting = false;
                gateway.leaving = Some(Leaving {
                    why: *why,
                    since: at(now),
                    until: None,
                });
            }
            Action::Accept { .. } => {
                (gateway.accepting, gateway.leaving, gateway.marked) = (true, None, false);
                gateway.accepted = Some(at(now));
            }
            Action::Drain { until, .. } => gateway.leaving.as_mut().unwrap().until = Some(*until),
            Action::Pause { .. } => {
                let leaving = gateway.leaving.as_mut().unwrap();
                (leaving.since, leaving.until) = (at(now), None);
            }
            Action::Mark { .. } => gateway.marked = true,
            Action::Scale { .. } | Action::Shed { .. } => {}
        }
    }

    /// What the gateway does from now on, and answers.
    pub(super) fn tell(&mut self, action: &Action, now: i64, bus: bool) {
        match action {
            Action::Cordon { .. } => self.cordoned = true,
            Action::Accept { .. } => (self.cordoned, self.rate) = (false, None),
            Action::Drain { rate, .. } => self.rate = Some(*rate),
            Action::Pause { .. } => (self.cordoned, self.rate) = (true, None),
            Action::Mark { .. } | Action::Scale { .. } | Action::Shed { .. } => return,
        }
        self.hear(now, bus);
    }
}
