//! Events: every change of a condition that a person may want to know, and what outlives a deleted cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Resource, ResourceExt,
    runtime::events::{Event, EventType, Recorder},
};
use tracing::warn;

use crate::{
    api::{ChatCluster, DeletionPolicy},
    build::Names,
    watch::Guarded,
};

/// Conditions whose `True` is bad news.
const BAD_WHEN_TRUE: [&str; 4] = ["Stalled", "ScalingHeld", "CapacityLimited", "RebalanceStopped"];
/// Conditions whose `False` is bad news.
const BAD_WHEN_FALSE: [&str; 4] = ["Ready", "GatewaysAvailable", "BusReady", "ApisAvailable"];
/// `Ready` repeats the others.
const SILENT: [&str; 1] = ["Ready"];
/// Longest note that the API takes.
const NOTE: usize = 1024;

/// Publishes an event for each condition that answers otherwise than before.
pub async fn publish_changes(recorder: &Recorder, cluster: &ChatCluster, new: &[Condition]) {
    let old = cluster
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    for condition in changes(old, new) {
        let type_ = if is_bad(condition) {
            EventType::Warning
        } else {
            EventType::Normal
        };
        publish(recorder, cluster, type_, &condition.reason, &condition.message).await;
    }
}

/// The conditions that answer otherwise, or for another reason. A first answer that is good news is none.
fn changes<'a>(old: &'a [Condition], new: &'a [Condition]) -> impl Iterator<Item = &'a Condition> {
    new.iter()
        .filter(|new| !SILENT.contains(&new.type_.as_str()))
        .filter(|new| match old.iter().find(|old| old.type_ == new.type_) {
            Some(old) => old.status != new.status || old.reason != new.reason,
            None => is_bad(new) || new.status == "True" && new.type_ == "Reconciling",
        })
}

fn is_bad(condition: &Condition) -> bool {
    let name = condition.type_.as_str();
    match condition.status.as_str() {
        "True" => BAD_WHEN_TRUE.contains(&name),
        "False" => BAD_WHEN_FALSE.contains(&name),
        _ => false,
    }
}

/// Names what stays of a cluster that is gone.
pub async fn publish_retained(recorder: &Recorder, cluster: &ChatCluster) {
    if cluster.spec.deletion_policy == DeletionPolicy::Delete {
        return;
    }
    let names = Names::new(&cluster.namespace().unwrap_or_default(), &cluster.name_any());
    let what = match &cluster.spec.bus.managed {
        Some(nats) => format!(
            "messages stay in the volume claims {}",
            names.nats_claims(nats.replicas).join(", ")
        ),
        None => format!("the streams {} stay on the external NATS", names.streams()),
    };
    let note = format!("{what}; a ChatCluster of the same name finds them");
    publish(recorder, cluster, EventType::Normal, "Retained", &note).await;
}

/// Says that nothing is left of a cluster that is deleted.
pub async fn publish_streams_deleted(recorder: &Recorder, cluster: &Guarded, note: &str) {
    publish(recorder, cluster, EventType::Normal, "StreamsDeleted", note).await;
}

/// Says that streams may be left though they should not.
pub async fn publish_streams_left(recorder: &Recorder, cluster: &Guarded, note: &str) {
    publish(recorder, cluster, EventType::Warning, "StreamsLeft", note).await;
}

/// An event that is lost costs nothing but itself: whoever reconciles must not fail for it.
async fn publish(
    recorder: &Recorder,
    cluster: &impl Resource<DynamicType = ()>,
    type_: EventType,
    reason: &str,
    note: &str,
) {
    let note: String = note.chars().take(NOTE).collect();
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &cluster.object_ref(&())).await {
        warn!(%error, reason, "event is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap(),
        }
    }

    #[test]
    fn only_what_changed_is_told_once() {
        let old = [
            condition("Stalled", "False", "NoError"),
            condition("BusReady", "True", "AllServersReady"),
        ];
        let new = [
            condition("Ready", "False", "NoMajority"),
            condition("Stalled", "False", "NoError"),
            condition("BusReady", "False", "NoMajority"),
            condition("UpgradeAvailable", "False", "NothingNewer"),
        ];
        let told: Vec<_> = changes(&old, &new)
            .map(|condition| condition.type_.as_str())
            .collect();
        assert_eq!(told, ["BusReady"]);
        assert!(is_bad(&new[2]));
    }
}
