//! The gateways of a cluster as they are, for those who decide what becomes of them: [`crate::rollout`] and
//! [`crate::scaling`]. No client and no clock.
//!
//! Nothing that is decided is kept in the operator's memory. What has begun is written on the pod that it concerns, before it
//! begins: that it shall go and why, since when no newcomers are sent to it, and until when its drain may take. So an
//! operator that is killed in the middle of a drain leaves a cluster that says of itself how far it is, and the next one
//! goes on from there.

mod action;
mod bus;
mod config;
mod leave;
mod observe;
mod retire;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;

pub use self::{
    action::{Action, marks},
    bus::BusView,
    config::ConfigView,
    leave::{Leave, Step, deadline},
    observe::observe,
    retire::{Departures, Turn, accept, marked_done, pauses},
};
pub use crate::pods::Trouble;

/// A gateway that neither answers nor is ready for this time is given up: as long as Kubernetes waits for a node that does not answer.
const PATIENCE: Duration = Duration::from_mins(5);
/// A gateway that has been ready for less has not been asked yet, or its answer is on the way.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// All gateways of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// The revision that every gateway shall have.
    pub current: Revision,
    /// Revisions before it that still have a Deployment, by name.
    pub former: Vec<Revision>,
}

/// The gateways of one Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revision {
    pub name: String,
    /// Pods that the Deployment shall have; 0 if there is none.
    pub replicas: i32,
    /// When the Deployment was made.
    pub made: Option<Timestamp>,
    /// Whether all its pods were available together once; Kubernetes remembers that.
    pub completed: bool,
    /// Pods that are not about to end, by name.
    pub gateways: Vec<Gateway>,
}

/// One gateway.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that was read off the pod"
)]
pub struct Gateway {
    pub pod: String,
    /// When the pod was made.
    pub made: Option<Timestamp>,
    /// Whether its container runs; one that does not has no connection to lose.
    pub running: bool,
    /// Since when it has been ready without a break.
    pub ready_since: Option<Timestamp>,
    /// Since when it has not been ready; `None`: it is, or its kubelet has not said.
    pub unready_since: Option<Timestamp>,
    /// Whether it has ever been ready, in whichever container.
    pub ever_ready: bool,
    /// Whether it has been ready since its container was started; one that never was has no connections.
    pub has_served: bool,
    /// Whether the Service may choose it.
    pub accepting: bool,
    /// When the operator put it back into the Service.
    pub accepted: Option<Timestamp>,
    /// That it shall go.
    pub leaving: Option<Leaving>,
    /// Whether its Deployment removes it first.
    pub marked: bool,
    /// What keeps it from running, in the words of the kubelet.
    pub trouble: Option<Trouble>,
    /// What it said of itself lately; `None`: nothing.
    pub sample: Option<Sample>,
}

/// That a gateway shall go, as it is written on its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    pub why: Why,
    /// Since when the Service may not choose it.
    pub since: Timestamp,
    /// When it is removed whatever is left; `None`: its drain has not begun.
    pub until: Option<Timestamp>,
}

/// Why a gateway shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is of a former revision.
    Roll,
    /// There are more gateways than there shall be.
    Scale,
}

/// What a gateway said of itself.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of its own, as the gateway gives it"
)]
pub struct Sample {
    pub connections: u64,
    /// Connections that its limit of open files allows.
    pub connection_limit: u64,
    pub cordoned: bool,
    pub draining: bool,
    /// Its process ends, which nothing takes back.
    pub terminating: bool,
    /// Connections a second of the drain that it was told; `None`: there is none, or it does not say.
    pub drain_rate: Option<f64>,
    /// Drained, and nobody gets in.
    pub empty: bool,
    /// Connections that it has been told to shed and has not closed yet.
    pub shedding: u64,
    pub bus_up: bool,
    /// Durable namespaces in which nothing can be stored, as far as the gateway knows, and why.
    pub namespaces: BTreeMap<String, String>,
    pub config: ConfigState,
    /// CPU in cores over the last interval.
    pub cpu: Option<f64>,
    /// Resident bytes.
    pub memory: Option<u64>,
}

/// Whether a gateway has taken the configuration that it shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigState {
    #[default]
    InForce,
    /// It is on its way.
    Awaited,
    /// It has been on its way for too long.
    Late,
    /// The gateway refused its last reload, in its own words.
    Refused(String),
}

impl Fleet {
    /// Every gateway of every revision.
    pub fn gateways(&self) -> impl Iterator<Item = &Gateway> {
        self.revisions().flat_map(|revision| &revision.gateways)
    }

    /// The revisions, the current one first.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        std::iter::once(&self.current).chain(&self.former)
    }

    /// Whether any gateway said lately how it is.
    pub fn is_heard(&self) -> bool {
        self.gateways().any(|gateway| gateway.sample.is_some())
    }

    /// Connections of all gateways that said how many they have.
    pub fn connections(&self) -> u64 {
        self.gateways().map(Gateway::connections).sum()
    }

    /// Gateways of former revisions.
    pub fn former_count(&self) -> usize {
        self.former.iter().map(|revision| revision.gateways.len()).sum()
    }
}

impl Revision {
    /// Gateways that serve newcomers.
    pub fn serving(&self) -> impl Iterator<Item = &Gateway> {
        self.gateways.iter().filter(|gateway| gateway.serves())
    }

    /// Gateways that shall stay.
    pub fn staying(&self) -> impl Iterator<Item = &Gateway> {
        self.gateways.iter().filter(|gateway| gateway.leaving.is_none())
    }
}

impl Gateway {
    pub fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Whether newcomers are sent to it, and it takes them.
    pub fn serves(&self) -> bool {
        self.is_ready() && self.accepting && self.leaving.is_none()
    }

    /// Connections as last said; 0 if it said nothing.
    pub fn connections(&self) -> u64 {
        self.sample.as_ref().map_or(0, |sample| sample.connections)
    }

    /// Whether it said that it is not connected to the bus.
    pub fn lacks_bus(&self) -> bool {
        self.sample.as_ref().is_some_and(|sample| !sample.bus_up)
    }

    /// It may hold any number of connections, and does not say how many.
    pub fn is_silent(&self) -> bool {
        self.running && self.has_served && self.sample.is_none()
    }

    /// Nobody is connected to it, and nobody will be unless it becomes ready.
    pub fn has_nobody(&self) -> bool {
        !self.running || !self.has_served && self.connections() == 0
    }

    /// It does not answer the operator, and its kubelet has not found it ready for so long that its clients have given it up. One that
    /// is ready serves its clients: what is broken is the operator's way to it.
    pub fn is_frozen(&self, now: Timestamp) -> bool {
        let over = |since: Timestamp| since.checked_add(PATIENCE).is_ok_and(|end| now >= end);
        self.is_silent() && self.unready_since.is_some_and(over)
    }

    /// It has just become ready, and may not have been asked yet.
    pub fn is_new(&self, now: Timestamp) -> bool {
        self.ready_since
            .is_some_and(|since| now.duration_since(since).unsigned_abs() < ASKED_WITHIN)
    }

    /// It shall serve, and does not know: the call that puts it back was lost, or somebody else took it out. One whose process ends
    /// takes no call; the next process knows nothing of what it was told.
    pub fn is_forgotten(&self) -> bool {
        let told_off = |sample: &Sample| (sample.draining || sample.cordoned) && !sample.terminating;
        self.leaving.is_none() && (!self.accepting || self.sample.as_ref().is_some_and(told_off))
    }

    /// Its drain has begun, or may have.
    pub fn drain_has_begun(&self) -> bool {
        self.is_draining() || self.leaving.is_some_and(|leaving| leaving.until.is_some())
    }

    /// It said that it is being drained, and that somebody is left.
    pub fn closes_connections(&self) -> bool {
        self.sample
            .as_ref()
            .is_some_and(|sample| sample.draining && !sample.empty)
    }

    /// It said that nobody is left, and nobody gets in.
    pub fn is_empty(&self) -> bool {
        self.sample.as_ref().is_some_and(|sample| sample.empty)
    }

    pub fn is_draining(&self) -> bool {
        self.sample.as_ref().is_some_and(|sample| sample.draining)
    }

    pub fn leaves_for(&self, why: Why) -> bool {
        self.leaving.is_some_and(|leaving| leaving.why == why)
    }
}

impl Why {
    /// As it is written on the pod.
    pub fn name(self) -> &'static str {
        match self {
            Self::Roll => "roll",
            Self::Scale => "scale-down",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Roll, Self::Scale]
            .into_iter()
            .find(|why| why.name() == name)
    }
}

#[cfg(test)]
pub(crate) mod tests;
