//! From more gateways than there shall be to as many: who goes, and how far it is. Also the way back, if more are wanted.

use crate::fleet::{Action, Gateway, Leave, Revision, Step, Why};

/// What to do about the gateways of the current revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shrink {
    /// Pods that the Deployment shall have: as many as shall be, and at least those that are there but for the ones whose
    /// time has come.
    pub replicas: usize,
    pub actions: Vec<Action>,
}

/// Decides who leaves. `may_drain` is false while something else takes the budget, or the bus is away; who is on the way out
/// then waits.
pub fn shrink(current: &Revision, desired: usize, leave: &Leave, may_drain: bool) -> Shrink {
    let staying = current.staying().count();
    let mut shrink = Shrink::default();
    if staying < desired {
        shrink.actions = put_back(current, desired - staying);
    } else if may_drain {
        shrink.actions = send(current, staying - desired, leave);
    }
    let put_back: Vec<_> = shrink.actions.iter().filter_map(Action::pod).collect();
    let leaving: Vec<_> = going(current)
        .filter(|gateway| !put_back.contains(&gateway.pod.as_str()))
        .map(|gateway| (gateway, leave.step(gateway)))
        .collect();
    let gone = |(gateway, step): &&(&Gateway, Step)| gateway.marked && *step == Step::Done;
    let there = current.gateways.len() - leaving.iter().filter(gone).count();
    shrink.replicas = desired.max(there);
    if may_drain {
        shrink.actions.extend(drain(&leaving));
    } else {
        shrink.actions.extend(pause(&leaving));
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
    going
        .into_iter()
        .take(number)
        .map(|gateway| Action::Accept {
            pod: gateway.pod.clone(),
        })
        .collect()
}

/// Those that are not ready first, then those with the fewest connections. A gateway that does not say how many it has is
/// the last to be chosen.
fn send(current: &Revision, number: usize, leave: &Leave) -> Vec<Action> {
    let mut staying: Vec<_> = current.staying().collect();
    staying.sort_by_key(|gateway| {
        (
            gateway.is_silent(),
            gateway.is_ready(),
            gateway.connections(),
            gateway.pod.clone(),
        )
    });
    staying
        .into_iter()
        .take(number)
        .map(|gateway| leave.cordon(gateway))
        .collect()
}

/// One drain at a time; what is done is marked.
fn drain(leaving: &[(&Gateway, Step)]) -> Vec<Action> {
    let marks = leaving
        .iter()
        .filter(|(gateway, step)| *step == Step::Done && !gateway.marked)
        .map(|(gateway, _)| Action::Mark {
            pod: gateway.pod.clone(),
        });
    let mut draining: Vec<_> = leaving
        .iter()
        .filter_map(|(gateway, step)| match step {
            Step::Draining(order) => Some((gateway, order)),
            Step::Staying | Step::Settling | Step::Done => None,
        })
        .collect();
    draining.sort_by_key(|(gateway, _)| {
        let begun = gateway.leaving.is_some_and(|leaving| leaving.until.is_some());
        (!begun, gateway.connections(), gateway.pod.clone())
    });
    let order = draining.first().and_then(|(_, order)| (*order).clone());
    marks.chain(order).collect()
}

fn pause(leaving: &[(&Gateway, Step)]) -> Vec<Action> {
    leaving
        .iter()
        .filter(|(gateway, step)| {
            *step != Step::Done && gateway.leaving.is_some_and(|leaving| leaving.until.is_some())
        })
        .map(|(gateway, _)| Action::Pause {
            pod: gateway.pod.clone(),
        })
        .collect()
}
