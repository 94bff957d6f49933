//! A cluster that is being deleted and whose streams on an external NATS shall go with it: what is to be done now. Without
//! client or clock.
//!
//! ```text
//! gateways end, drained as at every SIGTERM ─▶ a Job deletes the streams ─▶ the finalizer goes, and the cluster with it
//! ```
//!
//! A gateway makes a stream again that it misses, so the Job comes last. Whatever is in the way, after a bounded time the
//! finalizer goes all the same: a cluster that nobody can delete is worse than streams that an event names. Only an operator
//! that was away itself, or drains that take long, make it later: each step is begun, and gets a time of its own.

mod seen;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

pub(crate) use self::seen::gateway_deployments;
pub use self::seen::{Job, Seen, Wanted, see};
use crate::api::{ChatClusterSpec, DeletionPolicy};

/// Keeps a cluster until its streams are deleted.
pub const FINALIZER: &str = "natter.dev/streams";
/// Time from the deletion until the streams are given up.
pub const LIMIT: Duration = Duration::from_mins(5);
/// The part of that time that each step gets at least: two minutes.
const STEP: f64 = 0.4;
/// So many times that time after the deletion nothing is begun any more: two hours, longer than gateways may drain. Somebody
/// may be deleting each Job.
const BEGIN: u32 = 24;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// End the gateways that nobody told yet, and wait for all.
    EndGateways(String),
    /// Make the Job.
    MakeJob,
    /// Something has to happen first.
    Wait(String),
    /// No stream is left.
    Deleted,
    /// Streams may stay, for this reason.
    GiveUp(String),
}

/// Whether a cluster needs the finalizer.
pub fn is_wanted(spec: &ChatClusterSpec) -> bool {
    spec.deletion_policy == DeletionPolicy::Delete && spec.bus.external.is_some()
}

/// The times of a deletion.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What is under way is given up then.
    pub deadline: Timestamp,
    /// Nothing is begun any more from then on.
    pub last: Timestamp,
}

impl Bounds {
    /// Of a cluster that is deleted since `since`.
    pub fn new(seen: &Seen, since: Timestamp, limit: Duration) -> Self {
        let after = |time: Timestamp, wait| time.checked_add(wait).unwrap_or(Timestamp::MAX);
        let of_step = seen.begun.map(|begun| after(begun, limit.mul_f64(STEP)));
        Self {
            deadline: of_step.into_iter().fold(after(since, limit), Timestamp::max),
            last: after(since, limit.saturating_mul(BEGIN)),
        }
    }
}

/// Decides what is to be done now.
pub fn decide(seen: &Seen, bounds: Bounds, now: Timestamp) -> Step {
    let (late, too_late) = (now >= bounds.deadline, now >= bounds.last);
    match next(seen) {
        Step::EndGateways(why) if too_late || late && seen.untold == 0 => Step::GiveUp(why),
        Step::Wait(why) if late || too_late => Step::GiveUp(why),
        Step::MakeJob if too_late => Step::GiveUp("no Job that deletes them came to its end".to_owned()),
        step => step,
    }
}

fn next(seen: &Seen) -> Step {
    // What is made now would be deleted at once.
    if seen.collected {
        return Step::Wait(
            "Kubernetes deletes first what the cluster owns (a deletion in the foreground)".to_owned(),
        );
    }
    if seen.gateways_are_there() {
        return Step::EndGateways(format!("gateways that have not ended yet: {}", seen.gateways));
    }
    match &seen.job {
        Job::Succeeded => Step::Deleted,
        Job::None => match &seen.obstacle {
            Some(obstacle) => Step::Wait(obstacle.clone()),
            None => Step::MakeJob,
        },
        Job::Running(None) => Step::Wait("the Job that deletes the streams has not ended yet".to_owned()),
        Job::Running(Some(why)) => {
            Step::Wait(format!("the Job that deletes the streams does not get on: {why}"))
        }
        Job::Failed(why) => Step::Wait(format!("the Job that deletes the streams failed: {why}")),
    }
}

#[cfg(test)]
mod tests;
