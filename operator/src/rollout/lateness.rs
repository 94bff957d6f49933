//! How long the current revision has had to become ready.
//!
//! No clock is kept for that: what happened last is written on the pods. The time begins when the revision was made, or the last one
//! of those that it takes back; when its gateways were put back after the way back to it, when former ones left the Service, or when
//! their drains were paused because a current one failed. Readiness that comes and goes does not begin it again. A pod that was made
//! later (after an eviction, or where there shall be more) has its own time, which does not go on for ever either: all together have
//! twice the time. With `maxSurge` pods come one after another, and each begins it again.

use k8s_openapi::jiff::Timestamp;

use super::{Plan, former};
use crate::fleet::{Fleet, Gateway, Why, pauses};

/// Whether `readyTimeout` is over.
pub(super) fn is_late(fleet: &Fleet, plan: &Plan, now: Timestamp) -> bool {
    let after = |time: Timestamp| time.checked_add(plan.ready_timeout).unwrap_or(Timestamp::MAX);
    let back = fleet
        .current
        .gateways
        .iter()
        .any(|gateway| gateway.leaves_for(Why::Roll) || gateway.is_forgotten());
    // What is being done about it begins now.
    if back || pauses(former(fleet)).next().is_some() {
        return false;
    }
    let accepted = fleet.current.gateways.iter().map(|gateway| gateway.accepted);
    let cordoned = former(fleet).map(|gateway| gateway.leaving.map(|leaving| leaving.since));
    let begun = accepted
        .chain(cordoned)
        .chain(fleet.revisions().map(|revision| revision.made))
        .flatten()
        .max();
    let pod = fleet
        .current
        .gateways
        .iter()
        .filter_map(|gateway| gateway.made)
        .max();
    let pod = match (plan.max_surge, begun) {
        (None, Some(begun)) => pod.map(|pod| pod.min(after(begun))),
        _ => pod,
    };
    begun.max(pod).is_some_and(|begun| now > after(begun))
}

/// Whether the time of a drain has been over for `readyTimeout`: that long nobody has heard whether it ever began.
pub(super) fn is_overdue(gateway: &Gateway, plan: &Plan, now: Timestamp) -> bool {
    let until = gateway.leaving.and_then(|leaving| leaving.until);
    let bound = |until: Timestamp| until.checked_add(plan.ready_timeout).unwrap_or(Timestamp::MAX);
    until.is_some_and(|until| now >= bound(until))
}
