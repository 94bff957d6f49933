use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    api::ChatCluster,
    build::{self, COMPONENT},
    validate::{OperatorDefaults, validate},
};

/// One server: its revision, and whether it is ready.
type Server = (&'static str, bool);

fn built() -> Built {
    let cluster: ChatCluster = serde_json::from_value(json!({
        "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
        "metadata": {"name": "chat", "namespace": "default", "uid": "1"},
        "spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}},
    }))
    .unwrap();
    let defaults = OperatorDefaults {
        gateway_image: "gateway:1".to_owned(),
    };
    build::build(&validate(&cluster, &defaults).unwrap()).unwrap()
}

/// Three servers whose current revision is `new`.
fn observed(built: &Built, servers: &[Server], available: i32) -> Observed {
    let set = built
        .objects
        .iter()
        .find(|object| object.kind == Kind::StatefulSet)
        .unwrap();
    let mut set = set.value.clone();
    set.metadata.generation = Some(1);
    set.data["status"] = json!({
        "observedGeneration": 1, "replicas": 3, "updateRevision": "new", "availableReplicas": available,
    });
    let pod = |(number, (revision, ready)): (usize, &Server)| -> Arc<Pod> {
        let ready = if *ready { "True" } else { "False" };
        let pod = json!({
            "metadata": {
                "name": format!("chat-nats-{number}"), "namespace": "default",
                "labels": {COMPONENT: NATS, POD_REVISION: revision},
            },
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    };
    Observed {
        objects: vec![(Kind::StatefulSet, Arc::new(set))],
        pods: servers.iter().enumerate().map(pod).collect(),
    }
}

fn chosen(servers: &[Server], available: i32) -> Option<String> {
    let built = built();
    let observed = observed(&built, servers, available);
    next(&observed, &built).map(ResourceExt::name_any)
}

#[test]
fn the_last_outdated_server_goes_while_all_others_are_well() {
    assert_eq!(
        chosen(&[("old", true), ("old", true), ("new", true)], 3).unwrap(),
        "chat-nats-1"
    );
    assert_eq!(chosen(&[("new", true); 3], 3), None);
}

#[test]
fn nobody_goes_while_another_one_is_starting() {
    assert_eq!(chosen(&[("old", true), ("old", true), ("new", false)], 2), None);
    assert_eq!(
        chosen(&[("old", true), ("old", true), ("new", true)], 2),
        None,
        "ready for a moment only"
    );
    assert_eq!(chosen(&[("old", true), ("old", true)], 2), None, "one is missing");
}

#[test]
fn a_sick_outdated_server_goes_first_and_alone() {
    assert_eq!(
        chosen(&[("old", false), ("old", true), ("old", true)], 2).unwrap(),
        "chat-nats-0"
    );
    assert_eq!(chosen(&[("old", false), ("old", false), ("old", true)], 1), None);
}

#[test]
fn one_that_is_leaving_already_is_waited_for() {
    let built = built();
    let mut observed = observed(&built, &[("old", true); 3], 3);
    let mut pod = observed.pods[0].as_ref().clone();
    pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    observed.pods[0] = Arc::new(pod);
    assert_eq!(next(&observed, &built), None);
}
