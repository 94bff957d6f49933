//! What is reported of a cluster: numbers and conditions, from what was seen and what this reconcile came to. Written only
//! when something changed.

mod conditions;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

pub use self::conditions::{Current, Outcome};
use crate::{
    api::{
        ChatCluster, ImagePolicy,
        status::{ChatClusterStatus, Count, ScalingStatus, ShedStatus},
    },
    controller::Context,
    error::Error,
    scaling::{LastShed, Memory, rounded},
};

/// Owner of the status fields; another one than of the objects, so that neither takes a field from the other.
const FIELD_MANAGER: &str = "natter-operator-status";

/// The new status. `now` becomes the time of conditions whose status changed.
pub fn compute(cluster: &ChatCluster, outcome: &Outcome<'_>, now: &Time) -> ChatClusterStatus {
    let old = cluster.status.clone().unwrap_or_default();
    let conditions = conditions::of(cluster, outcome)
        .into_iter()
        .map(|condition| condition.since(&old.conditions, cluster.metadata.generation, now))
        .collect();
    let mut status = ChatClusterStatus {
        observed_generation: cluster.metadata.generation,
        conditions,
        ..old
    };
    // Where nothing could be built, the numbers are those of before.
    if let Some(current) = &outcome.current {
        let progress = &current.progress;
        if image_is_resolved(cluster, current) {
            status.image = Some(current.cluster.image.clone());
        }
        status.revision = Some(current.built.revision.clone());
        status.selector = Some(current.built.selector.clone());
        status.replicas = progress.replicas;
        status.gateways = Some(Count::new(progress.desired, progress.ready));
        status.scaling = Some(scaling(current));
        status.nats = progress
            .nats
            .as_ref()
            .map(|nats| Count::new(nats.desired, nats.ready));
    }
    status
}

/// An image that was asked for, or that a new operator brought, is kept once every gateway runs it: whoever takes back one that fails
/// gets the former one. Without a former one, there is nothing to go back to.
fn image_is_resolved(cluster: &ChatCluster, current: &Current<'_>) -> bool {
    let former = cluster.status.as_ref().and_then(|status| status.image.as_ref());
    let follows = cluster.spec.image_policy == ImagePolicy::FollowOperator && former.is_some();
    let asked = cluster.spec.image.is_some() || follows;
    !asked || current.steering.stage.is_done() && current.progress.complete
}

/// The status of a cluster that is being deleted: what is waited for; the numbers are those of before.
pub fn deleting(cluster: &ChatCluster, reason: &'static str, message: &str, now: &Time) -> ChatClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let old = std::mem::take(&mut status.conditions);
    let generation = cluster.metadata.generation;
    let new: Vec<_> = conditions::deleting(reason, message)
        .into_iter()
        .map(|condition| condition.since(&old, generation, now))
        .collect();
    let is_new = |type_: &str| new.iter().any(|new| new.type_ == type_);
    let kept = old.iter().filter(|old| !is_new(&old.type_)).cloned();
    status.conditions = new.iter().cloned().chain(kept).collect();
    status.observed_generation = generation;
    status
}

/// What was decided on before, and since when a lower number has been enough. A roll to another revision than `revision` is over.
pub fn memory(cluster: &ChatCluster, revision: &str) -> Memory {
    let Some(status) = &cluster.status else {
        return Memory::default();
    };
    let Some(scaling) = &status.scaling else {
        return Memory::default();
    };
    let of_this_roll = status.revision.as_deref() == Some(revision);
    let whole = |number: i32| usize::try_from(number).unwrap_or_default();
    let since = scaling.lower_since.as_ref().map(|time| time.0);
    Memory {
        desired: Some(whole(scaling.desired)),
        lower: since.zip(scaling.lower_to.map(whole)),
        why: scaling.decision.clone(),
        roll: scaling.roll_size.map(whole).filter(|_| of_this_roll),
        shed: scaling.last_shed.as_ref().map(last_shed),
    }
}

fn last_shed(status: &ShedStatus) -> LastShed {
    LastShed {
        pause_until: status.pause_until.0,
        skew_percent: u64::try_from(status.skew_percent).unwrap_or_default(),
        gateways: usize::try_from(status.gateways).unwrap_or_default(),
        in_vain: u32::try_from(status.in_vain).unwrap_or_default(),
    }
}

fn scaling(current: &Current<'_>) -> ScalingStatus {
    let (fleet, sizing) = (current.fleet, &current.steering.sizing);
    let short = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let leaving = fleet.gateways().filter(|gateway| gateway.leaving.is_some());
    ScalingStatus {
        desired: short(sizing.desired),
        serving: short(fleet.gateways().filter(|gateway| gateway.serves()).count()),
        draining: short(leaving.count()),
        connections: long(rounded(fleet.connections())),
        capacity: current.steering.capacity.map(|capacity| long(rounded(capacity))),
        decision: sizing.memory.why.clone(),
        held: sizing.held.as_ref().map(|held| held.message.clone()),
        lower_since: sizing.memory.lower.map(|(since, _)| Time(whole_second(since))),
        lower_to: sizing.memory.lower.map(|(_, highest)| short(highest)),
        roll_size: sizing.memory.roll.map(short),
        last_shed: sizing.memory.shed.map(|shed| ShedStatus {
            pause_until: Time(whole_second(shed.pause_until)),
            skew_percent: long(shed.skew_percent),
            gateways: short(shed.gateways),
            in_vain: i32::try_from(shed.in_vain).unwrap_or(i32::MAX),
        }),
    }
}

/// As it is read again from the API server.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Writes the status if it is new.
pub async fn write(
    context: &Context,
    cluster: &ChatCluster,
    status: &ChatClusterStatus,
) -> Result<(), Error> {
    if cluster.status.as_ref() == Some(status) {
        return Ok(());
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<ChatCluster> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({"apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster", "status": status});
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&cluster.name_any(), &parameters, &Patch::Apply(&patch))
        .await
        .map_err(Error::Status)?;
    context.metrics.status_written();
    Ok(())
}

#[cfg(test)]
mod tests;
