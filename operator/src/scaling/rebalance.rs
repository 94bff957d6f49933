//! Bringing connections to gateways that came later.
//!
//! Who is shed connects again through the Service, which chooses by chance. Behind a balancer that does not (by the address of the
//! client, by a cookie, or with one large network in front) they come back to where they were, and each shed cuts them for nothing.
//! So a shed is remembered with what it was about; there is a pause after each; and when two in a row did not help, no more follow until
//! something is different: another number of gateways, another revision, another skew, or somebody who turns rebalancing off and on.
//!
//! It is remembered in the status and not on the pod: whether it helps is a matter of the cluster and of what is in front of it, and the pod
//! that was shed may go. An operator that dies between the order and the status does not know of it; that is one shed more.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::fleet::{Action, Fleet, Gateway};

/// A gateway is not judged before it has been ready for so long: it fills by itself where many clients come and go.
const FILL: Duration = Duration::from_mins(1);
/// A difference below so many connections is not worth a reconnect.
const LEAST: u64 = 20;
/// After a shed nothing is shed for this time: clients take theirs to come back, and a wrong guess costs them little.
const PAUSE: Duration = Duration::from_mins(5);
/// Sheds in a row without effect, after which no more follow.
const TRIES: u32 = 2;

/// When to rebalance, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rebalance {
    /// Percent above the mean from which a gateway is too full.
    pub skew_percent: u64,
    /// Connections that may be closed a second.
    pub rate: f64,
    pub now: Timestamp,
}

/// A shed and what is to be known of it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastShed {
    /// Nothing is shed before.
    pub pause_until: Timestamp,
    /// Percent above the mean that the fullest gateway had before it.
    pub skew_percent: u64,
    /// Gateways that there were.
    pub gateways: usize,
    /// Sheds in a row that had no effect.
    pub in_vain: u32,
}

/// What is shed now, and what is remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balance {
    pub shed: Option<Action>,
    pub last: Option<LastShed>,
}

impl LastShed {
    /// Whether shedding was given up because it does not help.
    pub fn is_given_up(&self) -> bool {
        self.in_vain >= TRIES
    }

    /// Sheds in a row without effect, judged by what there is now.
    fn in_vain_by(&self, gateways: usize, skew_percent: u64) -> u32 {
        // A quarter less is an effect: of two gateways, a shed by chance takes half.
        let helped = skew_percent.saturating_mul(4) <= self.skew_percent.saturating_mul(3);
        if helped || self.gateways != gateways {
            0
        } else {
            // Once more for the shed before it was given up; it is not judged again.
            (self.in_vain + 1).min(TRIES)
        }
    }
}

/// Tells the fullest gateway to shed what it has above the mean, if nothing else is going on and the last shed is long ago and
/// was of use.
pub fn rebalance(fleet: &Fleet, rebalance: &Rebalance, last: Option<LastShed>) -> Balance {
    let nothing = |last| Balance { shed: None, last };
    let gateways = &fleet.current.gateways;
    let settled = fleet.former.is_empty() && gateways.iter().all(|gateway| rebalance.is_settled(gateway));
    if !settled || last.is_some_and(|last| rebalance.now < last.pause_until) {
        return nothing(last);
    }
    let Some((fullest, above, skew_percent)) = rebalance.skewed(fleet) else {
        return nothing(None);
    };
    let in_vain = last.map_or(0, |last| last.in_vain_by(gateways.len(), skew_percent));
    if let Some(last) = last.filter(|_| in_vain >= TRIES) {
        return nothing(Some(LastShed { in_vain, ..last }));
    }
    let shed = Action::Shed {
        pod: fullest.pod.clone(),
        connections: above,
        rate: rebalance.rate,
    };
    Balance {
        shed: Some(shed),
        last: Some(LastShed {
            pause_until: rebalance.pause_after(above),
            skew_percent,
            gateways: gateways.len(),
            in_vain,
        }),
    }
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

    /// The fullest gateway, if it is too full: with what it has above the mean, in connections and in percent.
    fn skewed<'a>(&self, fleet: &'a Fleet) -> Option<(&'a Gateway, u64, u64)> {
        let gateways = &fleet.current.gateways;
        let count = u64::try_from(gateways.len()).ok().filter(|count| *count > 1)?;
        let mean = fleet.connections() / count;
        let fullest = gateways.iter().max_by_key(|gateway| gateway.connections())?;
        let above = fullest.connections().saturating_sub(mean);
        let limit = mean.saturating_mul(self.skew_percent) / 100;
        (above > limit.max(LEAST)).then(|| (fullest, above, above.saturating_mul(100) / mean.max(1)))
    }

    fn pause_after(&self, connections: u64) -> Timestamp {
        let connections = f64::from(u32::try_from(connections).unwrap_or(u32::MAX));
        let paced = Duration::try_from_secs_f64(connections / self.rate.max(0.001)).unwrap_or(Duration::MAX);
        self.now
            .checked_add(paced.saturating_add(PAUSE))
            .unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests;
