use std::sync::Arc;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::*;
use crate::{api::ChatCluster, dereference::Observed, kinds::Kind};

const NAME: &str = "chat-delete-streams-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const WANTED: Wanted<'_> = Wanted {
    job: NAME,
    leave: Duration::from_secs(40),
};

/// Deleted at second 0.
fn step(seen: &Seen, second: i64) -> Step {
    decide(seen, Bounds::new(seen, at(0), LIMIT), at(second))
}

fn pod(component: &str, status: &Value) -> Arc<Pod> {
    let labels = json!({"app.kubernetes.io/component": component});
    let pod = json!({"metadata": {"name": component, "labels": labels}, "status": status});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn object(kind: Kind, name: &str, status: &Value) -> (Kind, Arc<DynamicObject>) {
    let mut object = DynamicObject::new(name, &kind.api_resource());
    object.metadata.labels = Some([("app.kubernetes.io/component".to_owned(), "gateway".to_owned())].into());
    object.data = json!({"status": status});
    (kind, Arc::new(object))
}

fn job(condition: &str) -> (Kind, Arc<DynamicObject>) {
    let condition = json!({"type": condition, "status": "True", "message": "too many failures"});
    object(Kind::Job, NAME, &json!({"conditions": [condition]}))
}

fn look(observed: &Observed) -> Seen {
    see(&[FINALIZER.to_owned()], observed, Ok(WANTED))
}

fn with(objects: &[(Kind, Arc<DynamicObject>)], pods: &[Arc<Pod>]) -> Observed {
    Observed {
        objects: objects.to_vec(),
        pods: pods.to_vec(),
    }
}

#[test]
fn gateways_end_then_a_job_runs_then_it_is_done() {
    let deployment = object(Kind::Deployment, "chat-gateway-1", &json!({}));
    let gateway = pod("gateway", &json!({"phase": "Running"}));
    let first = look(&with(&[deployment], std::slice::from_ref(&gateway)));
    assert_eq!(first.deployments, 1);
    let Step::EndGateways(why) = step(&first, 1) else {
        panic!("{first:?}")
    };
    assert_eq!(why, "gateways that have not ended yet: 1");
    let ending = look(&with(&[], &[gateway]));
    assert!(
        matches!(step(&ending, 1), Step::EndGateways(_)),
        "its pod is still there"
    );
    let ended = look(&with(&[], &[pod("gateway", &json!({"phase": "Failed"}))]));
    assert_eq!(step(&ended, 1), Step::MakeJob);
    let running = look(&with(&[object(Kind::Job, NAME, &json!({}))], &[]));
    assert_eq!(
        step(&running, 1),
        Step::Wait("the Job that deletes the streams has not ended yet".to_owned())
    );
    assert_eq!(step(&look(&with(&[job("Complete")], &[])), 1), Step::Deleted);
    assert_eq!(
        step(&look(&with(&[job("Complete")], &[])), 9_999),
        Step::Deleted,
        "however late"
    );
}

#[test]
fn a_cluster_that_was_never_built_needs_only_the_job() {
    assert_eq!(step(&look(&Observed::default()), 1), Step::MakeJob);
}

#[test]
fn whatever_is_in_the_way_is_told_and_given_up_after_five_minutes() {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    let container = |state: &Value| json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let unpulled = pod(
        "stream-deletion",
        &json!({"containerStatuses": [container(&waiting)]}),
    );
    let terminated = |finished: &str, message: &str| {
        let state = json!({"terminated": {"exitCode": 1, "finishedAt": finished, "message": message}});
        pod(
            "stream-deletion",
            &json!({"phase": "Failed", "containerStatuses": [container(&state)]}),
        )
    };
    let failures = [
        terminated("2026-01-01T00:00:02Z", "deleted a\nNATS is away\n"),
        terminated("2026-01-01T00:00:01Z", "older"),
    ];
    let running = object(Kind::Job, NAME, &json!({}));
    let cases = [
        (
            look(&with(std::slice::from_ref(&running), &[unpulled])),
            "no such image",
        ),
        (look(&with(&[running], &failures)), "NATS is away"),
        (look(&with(&[job("Failed")], &failures)), "NATS is away"),
        (look(&with(&[job("Failed")], &[])), "too many failures"),
        (
            look(&with(&[], &[pod("gateway", &json!({}))])),
            "gateways that have not ended yet: 1",
        ),
        (
            see(&[], &Observed::default(), Err("spec.x: wrong".to_owned())),
            "spec.x: wrong",
        ),
        (
            see(
                &["foregroundDeletion".to_owned()],
                &Observed::default(),
                Ok(WANTED),
            ),
            "in the foreground",
        ),
    ];
    for (seen, told) in cases {
        let (Step::Wait(why) | Step::EndGateways(why)) = step(&seen, 299) else {
            panic!("{seen:?}")
        };
        assert!(why.contains(told), "{why}");
        assert_eq!(step(&seen, 300), Step::GiveUp(why));
    }
}

/// A Job of another spec neither counts nor is in the way, unless it did it.
#[test]
fn an_edited_spec_gets_a_job_of_its_own() {
    let former = object(Kind::Job, "chat-delete-streams-0", &json!({}));
    assert_eq!(step(&look(&with(&[former], &[])), 1), Step::MakeJob);
    let invalid = see(
        &[],
        &with(&[job("Complete")], &[]),
        Err("spec.x: wrong".to_owned()),
    );
    assert_eq!(step(&invalid, 1), Step::Deleted);
}

/// An operator that comes back after an hour still does what is to be done, and gives it the time that it needs.
#[test]
fn each_step_is_begun_and_has_time() {
    let deployment = |told: Option<i64>| {
        let (kind, object) = object(Kind::Deployment, "chat-gateway-1", &json!({}));
        let mut object = Arc::unwrap_or_clone(object);
        object.metadata.deletion_timestamp = told.map(|second| Time(at(second)));
        look(&with(&[(kind, Arc::new(object))], &[pod("gateway", &json!({}))]))
    };
    assert!(matches!(step(&deployment(None), 3600), Step::EndGateways(_)));
    // 40 s to end, and 120 s more.
    assert!(matches!(
        step(&deployment(Some(3600)), 3759),
        Step::EndGateways(_)
    ));
    assert!(matches!(step(&deployment(Some(3600)), 3760), Step::GiveUp(_)));
    assert_eq!(step(&look(&Observed::default()), 7199), Step::MakeJob);
    for seen in [look(&Observed::default()), deployment(None)] {
        assert!(matches!(step(&seen, 7200), Step::GiveUp(_)), "not for ever");
    }
    let (kind, made) = object(Kind::Job, NAME, &json!({}));
    let mut made = Arc::unwrap_or_clone(made);
    made.metadata.creation_timestamp = Some(Time(at(3600)));
    let made = look(&with(&[(kind, Arc::new(made))], &[]));
    assert!(matches!(step(&made, 3719), Step::Wait(_)));
    assert!(matches!(step(&made, 3720), Step::GiveUp(_)));
}

#[test]
fn only_streams_that_shall_go_and_that_no_owner_takes_along_need_a_finalizer() {
    let wanted = |policy: &str, bus: &Value| {
        let cluster: ChatCluster = serde_json::from_value(json!({
            "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster", "metadata": {"name": "chat"},
            "spec": {"gateways": {"config": {"client": {}}}, "deletionPolicy": policy, "bus": bus},
        }))
        .unwrap();
        is_wanted(&cluster.spec)
    };
    let (external, managed) = (
        json!({"external": {"servers": ["nats://a"]}}),
        json!({"managed": {}}),
    );
    assert!(wanted("Delete", &external));
    assert!(!wanted("Retain", &external) && !wanted("Delete", &managed) && !wanted("Retain", &managed));
}
