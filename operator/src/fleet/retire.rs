//! Gateways that leave, seen together: who is drained next, who waits, who stays after all. Rolls and scale-downs differ in who
//! leaves, not in how.
//!
//! One drain at a time has the whole budget. So none begins while another gateway still closes connections, which one whose drain was
//! paused may do when that call was lost; nor while a gateway does not answer, which may be just that one.

use super::{Action, Gateway, Leave, Step};

/// Gateways that leave and how far each is, in the order in which they go.
pub struct Departures<'a> {
    gateways: Vec<(&'a Gateway, Step)>,
    leave: Leave,
}

/// Whose turn it is.
#[derive(Debug, PartialEq)]
pub enum Turn<'a> {
    /// Nobody can be drained now.
    Nobody,
    /// This one; with the order if it has to be given.
    Drain(&'a Gateway, Option<Action>),
    /// This gateway has to say how it is before anybody is drained.
    Silent(&'a Gateway),
}

impl<'a> Departures<'a> {
    /// One whose drain has begun goes on first; then the emptiest, as it makes room soonest; silent ones last.
    pub fn new(leave: &Leave, gateways: impl Iterator<Item = &'a Gateway>) -> Self {
        let mut gateways: Vec<_> = gateways.map(|gateway| (gateway, leave.step(gateway))).collect();
        gateways.sort_by_key(|(gateway, _)| {
            (
                !gateway.drain_has_begun(),
                gateway.is_silent(),
                gateway.connections(),
                gateway.pod.clone(),
            )
        });
        Self {
            gateways,
            leave: *leave,
        }
    }

    /// Those from which nothing more is to be had.
    pub fn done(&self) -> impl Iterator<Item = &'a Gateway> {
        let done = self.gateways.iter().filter(|(_, step)| *step == Step::Done);
        done.map(|(gateway, _)| *gateway)
    }

    /// Load balancers may still choose one of them.
    pub fn settle(&self) -> bool {
        self.gateways.iter().any(|(_, step)| *step == Step::Settling)
    }

    /// Whose turn it is, in view of `all` gateways of the cluster.
    pub fn turn(&self, all: &[&'a Gateway]) -> Turn<'a> {
        let next = self
            .gateways
            .iter()
            .find(|(_, step)| matches!(step, Step::Draining(_) | Step::Silent));
        let Some((gateway, step)) = next else {
            return Turn::Nobody;
        };
        let Step::Draining(order) = step else {
            return Turn::Silent(gateway);
        };
        let is_silent = |other: &Gateway| other.is_silent() && !self.leave.is_given_up(other);
        if !gateway.drain_has_begun()
            && let Some(silent) = all.iter().find(|other| is_silent(other))
        {
            return Turn::Silent(silent);
        }
        let closes = |other: &&Gateway| other.pod != gateway.pod && other.closes_connections();
        if order.is_some() && all.iter().any(closes) {
            return Turn::Nobody;
        }
        Turn::Drain(gateway, order.clone())
    }
}

/// Makes those that are done the first that their Deployment removes.
pub fn marked_done<'a>(done: impl Iterator<Item = &'a Gateway>) -> impl Iterator<Item = Action> {
    done.filter(|gateway| !gateway.marked)
        .map(|gateway| Action::Mark {
            pod: gateway.pod.clone(),
        })
}

/// Ends the drains that have begun, and those whose end was not heard, for whatever reason they go.
pub fn pauses<'a>(gateways: impl Iterator<Item = &'a Gateway>) -> impl Iterator<Item = Action> {
    gateways
        .filter(|gateway| gateway.leaving.is_some() && gateway.drain_has_begun())
        .filter(|gateway| !gateway.has_nobody() && !gateway.is_empty())
        .map(|gateway| Action::Pause {
            pod: gateway.pod.clone(),
        })
}

/// Puts a gateway back.
pub fn accept(gateway: &Gateway) -> Action {
    Action::Accept {
        pod: gateway.pod.clone(),
    }
}
