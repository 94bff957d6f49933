//! How gateways of a former revision give way to those of the current one.
//!
//! # What is promised
//!
//! A client is cut at most once per roll, no message is lost, and clients come back at no higher rate than the budget. So:
//!
//! 1. The current revision gets all its gateways, beside those of the former ones, and all must be ready and on the bus.
//! 2. Only then all former gateways are taken out of the Service, together. From here on every client that is cut comes to
//!    a gateway that stays. Were they taken out one after another, a client could come to one that goes next, and be cut again.
//! 3. After load balancers had time to notice, the former gateways are drained one after another, each at the whole budget.
//! 4. A former gateway is removed when it is empty, or when its time is over: then it gets SIGTERM and closes what is left
//!    at its own pace. The last ones go with their Deployment.
//!
//! For that time there are up to twice as many gateways, and no more when the spec is changed again meanwhile: a former revision
//! that never became ready has no client to lose, and gives its room to the current one at once, whatever that one's trouble is. (So
//! a bad revision can be corrected forwards where there is no room for three.) Where that is too much, `maxSurge` allows fewer, and gives up the
//! promise of step 2: former gateways go in turns, and a client that is cut may come to one whose turn is still to come.
//!
//! # What stops it
//!
//! A gateway of the current revision that does not become ready, or no longer is, or has lost the bus, stops the drains at
//! once, those under way included: clients that are still connected had better stay. Only what is empty by then still goes. A pod that cannot start, or takes longer
//! than `readyTimeout`, stalls the roll, which needs a person. If not one gateway of any revision serves, the former ones are put back
//! into the Service, since a second cut is better than no gateway to go to. The bus is looked at through the eyes of the current
//! revision alone: a roll may be the very repair of a wrong address, and the former gateways' opinion must not hold it. Only when
//! no gateway at all is connected, one that does not become ready for that is held rather than stalled: the bus is to be mended.
//!
//! # Going back
//!
//! A spec that returns to a former revision makes that revision the current one: its gateways, cordoned or half drained, are
//! put back, and the others go by the same rules. Everything is decided from the fleet alone, so an operator that starts in the
//! middle of a roll goes on with it (see [`crate::fleet`]).

mod lateness;
mod stage;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use self::lateness::{is_late, is_overdue};
pub use self::stage::Stage;
use crate::fleet::{
    Action, BusView, Departures, Fleet, Gateway, Leave, Revision, Turn, Why, accept, marked_done, pauses,
};

/// What a roll shall keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Gateways that there shall be.
    pub desired: usize,
    /// Gateways that there may be beyond that; `None`: as many as it takes.
    pub max_surge: Option<usize>,
    /// Connections that may be closed a second.
    pub rate: f64,
    /// Time that load balancers get to notice.
    pub settle: Duration,
    /// Time that a revision gets to become ready.
    pub ready_timeout: Duration,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Pods that the Deployment of the current revision shall have.
    pub replicas: usize,
    pub actions: Vec<Action>,
    /// Former revisions whose Deployment and configuration shall be deleted.
    pub removed: Vec<String>,
    pub stage: Stage,
}

/// Decides the next step of a roll. Without a former revision there is nothing to do.
pub fn decide(fleet: &Fleet, plan: &Plan, now: Timestamp) -> Decision {
    let wanted = wanted(fleet, plan);
    let mut decision = Decision {
        // What is there stays: how many is no matter of the roll.
        replicas: wanted.max(fleet.current.gateways.len()),
        actions: take_back(fleet),
        ..Decision::default()
    };
    if fleet.former.is_empty() {
        return decision;
    }
    if let Some(stage) = trouble(fleet, plan, wanted, now) {
        let alone = plan.desired > 0 && !fleet.gateways().any(Gateway::serves);
        decision.actions.extend(hold(fleet, alone));
        decision.stage = stage;
        for revision in &fleet.former {
            give_room(revision, alone, &mut decision);
        }
        return decision;
    }
    let leave = Leave {
        why: Why::Roll,
        settle: plan.settle,
        rate: plan.rate,
        heard: fleet.is_heard(),
        now,
    };
    retire(fleet, plan, &leave, &mut decision);
    decision
}

/// Gateways that the current revision may have now.
fn wanted(fleet: &Fleet, plan: &Plan) -> usize {
    let room = match plan.max_surge {
        None => plan.desired,
        Some(surge) => (plan.desired + surge).saturating_sub(fleet.former_count()),
    };
    room.min(plan.desired)
}

/// Gateways of the current revision that were to go when it was a former one, or that are out of service and should not be.
fn take_back(fleet: &Fleet) -> Vec<Action> {
    let gateways = fleet.current.gateways.iter();
    gateways
        .filter(|gateway| gateway.leaves_for(Why::Roll) || gateway.is_forgotten())
        .map(accept)
        .collect()
}

/// Why former gateways may not go yet.
fn trouble(fleet: &Fleet, plan: &Plan, wanted: usize, now: Timestamp) -> Option<Stage> {
    let current = &fleet.current;
    let serving = current.serving().count();
    if serving < wanted {
        let late = is_late(fleet, plan, now);
        return Some(starting(fleet, plan, (serving, wanted), late));
    }
    if let Some(gateway) = current.serving().find(|gateway| gateway.lacks_bus()) {
        return Some(Stage::bus_down(&gateway.pod));
    }
    let silent = current.serving().find(|gateway| gateway.sample.is_none());
    silent.map(|gateway| Stage::no_samples(&gateway.pod, is_late(fleet, plan, now)))
}

/// How the current revision becomes ready, and what keeps it from that.
fn starting(fleet: &Fleet, plan: &Plan, (ready, wanted): (usize, usize), late: bool) -> Stage {
    let current = &fleet.current;
    if let Some(trouble) = current.staying().find_map(|gateway| gateway.trouble.clone()) {
        return Stage::Stalled {
            reason: trouble.reason,
            message: trouble.message,
        };
    }
    let lacking = current.staying().find(|gateway| gateway.lacks_bus());
    match lacking {
        Some(gateway) if BusView::of(fleet).is_down() => Stage::bus_down(&gateway.pod),
        _ if late => {
            let bus = lacking.map_or_else(String::new, |gateway| {
                format!("; gateway {} is not connected to NATS", gateway.pod)
            });
            Stage::Stalled {
                reason: "NotReadyInTime",
                message: format!(
                    "{ready} of {wanted} gateways of revision {} are ready after {}{bus}",
                    current.name,
                    humantime::format_duration(plan.ready_timeout)
                ),
            }
        }
        _ => Stage::Starting { ready, wanted },
    }
}

/// Ends drains under way; opens the former gateways again when no other serves, which are `alone` then.
fn hold(fleet: &Fleet, alone: bool) -> Vec<Action> {
    let back = |gateway: &&Gateway| gateway.is_forgotten() || alone && gateway.leaving.is_some();
    let mut actions: Vec<_> = former(fleet).filter(back).map(accept).collect();
    actions.extend(pauses(former(fleet).filter(|gateway| !back(gateway))));
    actions
}

/// Cordons those that may go, drains one of them, and removes what is done.
fn retire(fleet: &Fleet, plan: &Plan, leave: &Leave, decision: &mut Decision) {
    // With as many gateways of the current revision as there shall be, all former ones may go.
    let may_go = (fleet.former_count() + fleet.current.serving().count()).saturating_sub(plan.desired);
    let mut open: Vec<_> = former(fleet)
        .filter(|gateway| gateway.leaving.is_none())
        .collect();
    open.sort_by_key(|gateway| (gateway.is_silent(), gateway.connections(), gateway.pod.clone()));
    let gone = fleet.former_count() - open.len();
    let cordoned: Vec<_> = open
        .iter()
        .take(may_go.saturating_sub(gone))
        .map(|gateway| leave.cordon(gateway))
        .collect();
    let departures = Departures::new(leave, former(fleet));
    let done: Vec<_> = departures.done().collect();
    decision.stage = Stage::Waiting {
        left: fleet.former_count() - done.len(),
    };
    // All of them: a client of the first to be drained must not come to one that load balancers still choose.
    if cordoned.is_empty() && !departures.settle() {
        take_turn(fleet, plan, leave.now, (&departures, done.len()), decision);
    }
    decision.actions.extend(cordoned);
    for revision in &fleet.former {
        let done: Vec<_> = revision
            .gateways
            .iter()
            .filter(|gateway| {
                done.iter().any(|done| done.pod == gateway.pod) || is_useless(revision, gateway)
            })
            .collect();
        remove(revision, &done, decision);
    }
}

/// Drains the one whose turn it is.
fn take_turn(
    fleet: &Fleet,
    plan: &Plan,
    now: Timestamp,
    (departures, done): (&Departures<'_>, usize),
    decision: &mut Decision,
) {
    let all: Vec<_> = fleet.gateways().collect();
    match departures.turn(&all) {
        Turn::Nobody => {}
        Turn::Silent(gateway) => {
            decision.stage = Stage::no_samples(&gateway.pod, is_late(fleet, plan, now));
        }
        Turn::Drain(gateway, order) => {
            decision.stage = if gateway.is_silent() && gateway.is_ready() {
                let late = is_late(fleet, plan, now) || is_overdue(gateway, plan, now);
                Stage::no_samples(&gateway.pod, late)
            } else {
                Stage::Draining {
                    pod: gateway.pod.clone(),
                    connections: gateway.connections(),
                    left: fleet.former_count() - done,
                }
            };
            decision.actions.extend(order);
        }
    }
}

/// Nobody has ever been connected to it, and its revision has never been of use: it only takes room. One that takes the place of
/// an evicted gateway is of a revision that was.
fn is_useless(revision: &Revision, gateway: &Gateway) -> bool {
    !revision.completed && !gateway.ever_ready && gateway.connections() == 0
}

/// Removes what is useless of a former revision, and what is on its way out and has nobody to lose, whether or not the current one
/// is ready: a gateway of it may wait for just that room.
fn give_room(revision: &Revision, alone: bool, decision: &mut Decision) {
    let is_empty = |gateway: &Gateway| gateway.has_nobody() || gateway.is_empty();
    let gateways = revision.gateways.iter();
    let gone: Vec<_> = gateways
        .filter(|gateway| {
            is_useless(revision, gateway) || !alone && gateway.leaving.is_some() && is_empty(gateway)
        })
        .collect();
    // One without pods may be about to get them back.
    if !gone.is_empty() || !revision.completed {
        remove(revision, &gone, decision);
    }
}

/// Removes gateways: one by one, the last ones with their Deployment.
fn remove(revision: &Revision, gone: &[&Gateway], decision: &mut Decision) {
    if gone.len() == revision.gateways.len() {
        decision.removed.push(revision.name.clone());
        return;
    }
    decision.actions.extend(marked_done(gone.iter().copied()));
    let marked = gone.iter().filter(|gateway| gateway.marked).count();
    let replicas = i32::try_from(revision.gateways.len() - marked).unwrap_or(i32::MAX);
    // Only downwards: what an eviction took from a former revision need not come back.
    if replicas < revision.replicas {
        decision.actions.push(Action::Scale {
            revision: revision.name.clone(),
            replicas,
        });
    }
}

fn former(fleet: &Fleet) -> impl Iterator<Item = &Gateway> {
    fleet.former.iter().flat_map(|revision| &revision.gateways)
}

#[cfg(test)]
mod tests;
