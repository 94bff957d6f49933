//! From pods and Deployments to a fleet.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{ResourceExt, api::DynamicObject};

use super::{Fleet, Gateway, Leaving, Revision, Sample, Why, marks};
use crate::{
    build::{ACCEPTING, COMPONENT, GATEWAY, REVISION},
    dereference::Observed,
    kinds::Kind,
    pods,
};

/// The gateways of the current revision and of those before it. `sample` knows what a pod said lately.
pub fn observe(observed: &Observed, current: &str, sample: impl Fn(&Pod) -> Option<Sample>) -> Fleet {
    let mut revisions: BTreeMap<String, Revision> = observed
        .of(Kind::Deployment)
        .filter(|object| object.labels().get(COMPONENT).is_some_and(|part| part == GATEWAY))
        .filter_map(revision)
        .map(|revision| (revision.name.clone(), revision))
        .collect();
    for pod in observed.pods.iter().filter(|pod| is_there(pod)) {
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
        gateways: Vec::new(),
    })
}

/// A pod that is about to end is none of ours any more: nobody can keep it.
fn is_there(pod: &Arc<Pod>) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn gateway(pod: &Pod, sample: Option<Sample>) -> Gateway {
    let annotation = |name: &str| pod.annotations().get(name).map(String::as_str);
    Gateway {
        pod: pod.name_any(),
        running: is_running(pod),
        ready_since: ready_since(pod),
        accepting: pod.labels().get(ACCEPTING).is_some_and(|value| value == "true"),
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

fn is_running(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().any(|container| {
        container.name == GATEWAY
            && container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
    })
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(
        ready
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::MIN, |time| time.0),
    )
}
