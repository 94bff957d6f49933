//! From pods and Deployments to a fleet.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::{Fleet, Gateway, Leaving, Revision, Sample, Why, marks};
use crate::{
    build::{ACCEPTING, GATEWAY, REVISION, is_part},
    dereference::Observed,
    kinds::Kind,
    pods,
};

/// Between the two times that a kubelet writes when it takes a pod on, in whole seconds; no gateway is ready and unready again before.
const TAKEN_ON: Duration = Duration::from_secs(2);
/// No pod is scheduled, started and found ready sooner after its Deployment was made, in whole seconds.
const FIRST_READY: Duration = Duration::from_secs(2);

/// The gateways of the current revision and of those before it. `sample` knows what a pod said lately.
pub fn observe(observed: &Observed, current: &str, sample: impl Fn(&Pod) -> Option<Sample>) -> Fleet {
    let mut revisions: BTreeMap<String, Revision> = observed
        .of(Kind::Deployment)
        .filter(|object| is_part(*object, GATEWAY))
        .filter_map(revision)
        .map(|revision| (revision.name.clone(), revision))
        .collect();
    for pod in observed.pods.iter().filter(|pod| pods::is_there(pod)) {
        let revision = pod
            .labels()
            .get(REVISION)
            .and_then(|name| revisions.get_mut(name));
        if let Some(revision) = revision {
            revision.gateways.push(gateway(pod, sample(pod)));
        }
    }
    for revision in revisions.values_mut() {
        revision.gateways.sort_by(|a, b| a.pod.cmp(&b.pod));
    }
    let none = || Revision {
        name: current.to_owned(),
        ..Revision::default()
    };
    Fleet {
        current: revisions.remove(current).unwrap_or_else(none),
        former: revisions.into_values().collect(),
    }
}

fn revision(deployment: &DynamicObject) -> Option<Revision> {
    let replicas = deployment.data["spec"]["replicas"].as_i64().unwrap_or_default();
    Some(Revision {
        name: deployment.labels().get(REVISION)?.clone(),
        replicas: i32::try_from(replicas).unwrap_or(i32::MAX),
        made: deployment.creation_timestamp().map(|time| time.0),
        completed: replicas > 0 && completed(deployment),
        gateways: Vec::new(),
    })
}

/// Kubernetes keeps this reason once all pods of a Deployment were available, whatever becomes of them. Of none at all it says so at
/// once, and goes on to when there are some.
fn completed(deployment: &DynamicObject) -> bool {
    let pods_by_then = |condition: &Value| {
        let reached: Option<Timestamp> = condition["lastUpdateTime"]
            .as_str()
            .and_then(|time| time.parse().ok());
        let made = deployment.creation_timestamp().map(|time| time.0);
        let first = made.and_then(|made| made.checked_add(FIRST_READY).ok());
        reached.zip(first).is_none_or(|(reached, first)| reached >= first)
    };
    let conditions = deployment.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Progressing"
            && condition["reason"] == "NewReplicaSetAvailable"
            && pods_by_then(condition)
    })
}

fn gateway(pod: &Pod, sample: Option<Sample>) -> Gateway {
    let annotation = |name: &str| pod.annotations().get(name).map(String::as_str);
    let ready = ready(pod);
    Gateway {
        pod: pod.name_any(),
        made: pod.creation_timestamp().map(|time| time.0),
        running: started(pod).is_some(),
        ready_since: ready.filter(|(is_ready, _)| *is_ready).map(|(_, since)| since),
        unready_since: ready.filter(|(is_ready, _)| !is_ready).map(|(_, since)| since),
        ever_ready: ever_ready(pod, ready),
        has_served: has_served(ready, started(pod)),
        accepting: pod.labels().get(ACCEPTING).is_some_and(|value| value == "true"),
        accepted: annotation(marks::ACCEPTED_AT).and_then(|text| text.parse().ok()),
        leaving: leaving(annotation),
        marked: annotation(marks::DELETION_COST) == Some(marks::LOWEST_COST),
        trouble: pods::of_pod(pod),
        sample,
    }
}

/// A time that cannot be read counts as the beginning of all times: what it bounds is over.
fn leaving<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<Leaving> {
    let time = |text: &str| text.parse().unwrap_or(Timestamp::MIN);
    Some(Leaving {
        why: annotation(marks::LEAVING).and_then(Why::of_name)?,
        since: annotation(marks::CORDONED_AT).map_or(Timestamp::MIN, time),
        until: annotation(marks::DRAIN_UNTIL).map(time),
    })
}

/// When the gateway's container was started, if it runs.
fn started(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let container = statuses.iter().find(|container| container.name == GATEWAY)?;
    let running = container.state.as_ref()?.running.as_ref()?;
    Some(time(running.started_at.as_ref()))
}

/// Whether the pod is ready, and since when it is or is not.
fn ready(pod: &Pod) -> Option<(bool, Timestamp)> {
    let ready = pods::readiness(pod)?;
    Some((ready.status == "True", time(ready.last_transition_time.as_ref())))
}

/// A pod that is not ready was so before if that ended after its container had been started.
fn has_served(ready: Option<(bool, Timestamp)>, started: Option<Timestamp>) -> bool {
    ready.is_some_and(|(is_ready, since)| is_ready || started.is_some_and(|started| since > started))
}

/// The kubelet calls a pod unready when it takes it on. One that became so later was ready before.
fn ever_ready(pod: &Pod, ready: Option<(bool, Timestamp)>) -> bool {
    let taken_on = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    ready.is_some_and(|(is_ready, since)| {
        is_ready
            || taken_on
                .and_then(|start| start.0.checked_add(TAKEN_ON).ok())
                .is_some_and(|start| since > start)
    })
}

fn time(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::MIN, |time| time.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::at;

    /// A pod whose container was started at second 10.
    fn pod(is_ready: &str, since: i64) -> Pod {
        serde_json::from_value(serde_json::json!({
            "status": {
                "conditions": [{"type": "Ready", "status": is_ready, "lastTransitionTime": Time(at(since))}],
                "containerStatuses": [{"name": GATEWAY, "image": "", "imageID": "", "ready": false, "restartCount": 1,
                    "state": {"running": {"startedAt": Time(at(10))}}}],
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_that_became_unready_after_it_was_taken_on_was_ready() {
        let ever = |status: &str, since: i64| {
            let mut pod = pod(status, since);
            pod.status.as_mut().unwrap().start_time = Some(Time(at(0)));
            gateway(&pod, None)
        };
        for (status, since, expected) in [
            ("True", 5, true),
            ("False", 30, true),
            ("False", 1, false),
            ("False", 0, false),
        ] {
            let gateway = ever(status, since);
            assert_eq!(gateway.ever_ready, expected, "{status} since {since}");
            let unready = (status == "False").then(|| at(since));
            assert_eq!(gateway.unready_since, unready);
        }
        assert!(!gateway(&Pod::default(), None).ever_ready);
    }

    #[test]
    fn a_deployment_remembers_that_it_was_complete() {
        let of = |reason: &str, replicas: i32, reached: i64| -> bool {
            let deployment: DynamicObject = serde_json::from_value(serde_json::json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "chat-gateway-1", "labels": {REVISION: "1"}, "creationTimestamp": Time(at(0))},
                "spec": {"replicas": replicas},
                "status": {"conditions": [
                    {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
                    {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": Time(at(reached))},
                ]},
            }))
            .unwrap();
            revision(&deployment).unwrap().completed
        };
        assert!(of("NewReplicaSetAvailable", 3, 2));
        assert!(!of("NewReplicaSetAvailable", 0, 2), "there is none");
        assert!(!of("NewReplicaSetAvailable", 3, 1), "it was made without any");
        assert!(!of("ReplicaSetUpdated", 3, 9));
        assert!(!of("ProgressDeadlineExceeded", 3, 9));
    }

    #[test]
    fn who_was_ready_since_it_was_started_may_have_connections() {
        let has_served = |pod: Pod| gateway(&pod, None).has_served;
        assert!(has_served(pod("True", 12)));
        assert!(has_served(pod("False", 30)), "it is frozen");
        assert!(!has_served(pod("False", 5)), "it starts");
        assert!(!has_served(pod("False", 10)), "it starts");
        assert!(!has_served(Pod::default()));
    }
}
