//! From more gateways than there shall be to as many: who goes, and how far it is. Also the way back, if more are wanted.
//!
//! Who does not answer is never chosen, and nobody is drained while a gateway is silent (see [`crate::fleet::Departures`]): the
//! number is held then, be it a fixed one.

use super::Held;
use crate::fleet::{Action, Departures, Gateway, Leave, Revision, Turn, Why, accept, marked_done, pauses};

/// What to do about the gateways of the current revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shrink {
    /// Pods that the Deployment shall have: as many as shall be, and at least those that are there but for the ones whose
    /// time has come.
    pub replicas: usize,
    pub actions: Vec<Action>,
    /// Why gateways that are too many stay.
    pub held: Option<Held>,
}

/// Decides who leaves. `may_drain` is false while something else takes the budget, or the bus is away; who is on the way out
/// then waits.
pub fn shrink(current: &Revision, desired: usize, leave: &Leave, may_drain: bool) -> Shrink {
    let staying = current.staying().count();
    let mut shrink = Shrink::default();
    if staying < desired {
        shrink.actions = put_back(current, desired - staying);
    } else if may_drain {
        send(current, staying - desired, leave, &mut shrink);
    }
    let put_back: Vec<_> = shrink.actions.iter().filter_map(Action::pod).collect();
    let leaving: Vec<_> = going(current)
        .filter(|gateway| !put_back.contains(&gateway.pod.as_str()))
        .collect();
    let departures = Departures::new(leave, leaving.iter().copied());
    let gone = departures.done().filter(|gateway| gateway.marked).count();
    shrink.replicas = desired.max(current.gateways.len() - gone);
    if may_drain {
        drain(current, &departures, leave, &mut shrink);
    } else {
        shrink.actions.extend(pauses(leaving.into_iter()));
    }
    shrink
}

fn going(current: &Revision) -> impl Iterator<Item = &Gateway> {
    current
        .gateways
        .iter()
        .filter(|gateway| gateway.leaves_for(Why::Scale))
}

/// Those with the most connections first: they are worth the most.
fn put_back(current: &Revision, number: usize) -> Vec<Action> {
    let mut going: Vec<_> = going(current).collect();
    going.sort_by_key(|gateway| (std::cmp::Reverse(gateway.connections()), gateway.pod.clone()));
    going.into_iter().take(number).map(accept).collect()
}

/// Those that have nobody to lose first, then those with the fewest connections. That one is not ready for a moment says
/// nothing of its connections.
fn send(current: &Revision, number: usize, leave: &Leave, shrink: &mut Shrink) {
    let is_lost = |gateway: &Gateway| gateway.has_nobody() || leave.is_given_up(gateway);
    let (mut known, silent): (Vec<_>, Vec<_>) = current
        .staying()
        .partition(|gateway| !gateway.is_silent() || is_lost(gateway));
    known.sort_by_key(|gateway| (!is_lost(gateway), gateway.connections(), gateway.pod.clone()));
    if known.len() < number {
        hold(silent.into_iter(), leave, shrink);
    }
    let sent = known.into_iter().take(number);
    shrink.actions.extend(sent.map(|gateway| leave.cordon(gateway)));
}

/// One drain at a time; what is done is marked.
fn drain(current: &Revision, departures: &Departures<'_>, leave: &Leave, shrink: &mut Shrink) {
    shrink.actions.extend(marked_done(departures.done()));
    let all: Vec<_> = current.gateways.iter().collect();
    match departures.turn(&all) {
        Turn::Nobody => {}
        Turn::Silent(gateway) => hold([gateway].into_iter(), leave, shrink),
        Turn::Drain(gateway, order) => {
            if gateway.is_silent() && (gateway.is_ready() || !leave.heard) {
                hold([gateway].into_iter(), leave, shrink);
            }
            shrink.actions.extend(order);
        }
    }
}

fn hold<'a>(mut silent: impl Iterator<Item = &'a Gateway>, leave: &Leave, shrink: &mut Shrink) {
    if let Some(gateway) = silent.find(|gateway| !gateway.is_new(leave.now)) {
        shrink.held = Some(Held::silent(&gateway.pod));
    }
}
