//! Why a pod does not start, in the words of those who know: the kubelet's about an image that does not pull or a Secret without
//! its key, the scheduler's about a volume that is not bound, and the program's own last words when it ends by itself.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

use crate::build::{COMPONENT, NATS, is_part};

/// Longest part of a program's last words that is shown, in characters.
const LAST_WORDS: usize = 500;
/// A variable of the container comes from a Secret or `ConfigMap` that is not there, or has no such key.
const REFERENCE_MISSING: &str = "ReferenceMissing";

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: &'static str,
    pub message: String,
}

/// The first trouble among the pods, by name.
pub fn trouble(pods: &[Arc<Pod>]) -> Option<Trouble> {
    let mut pods: Vec<_> = pods.iter().collect();
    pods.sort_by_key(|pod| pod.name_any());
    pods.into_iter().find_map(|pod| of_pod(pod))
}

/// Those among the pods that belong to a component.
pub fn of_component(pods: &[Arc<Pod>], component: &str) -> Vec<Arc<Pod>> {
    let belongs = |pod: &&Arc<Pod>| is_part(pod.as_ref(), component);
    pods.iter().filter(belongs).cloned().collect()
}

/// The condition that says whether a pod is ready, and since when.
pub fn readiness(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.as_ref()?.iter();
    conditions.find(|condition| condition.type_ == "Ready")
}

/// What keeps one pod from running.
pub fn of_pod(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    containers
        .chain(status.init_container_statuses.iter().flatten())
        .find_map(|container| of_container(pod, container))
        .or_else(|| unscheduled(pod))
}

/// Whether it may wait for a Secret that is not there. The kubelet names the one of a variable, and says nothing yet of a volume's.
pub fn may_lack_secret(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let containers = || {
        let statuses = status.and_then(|status| status.container_statuses.as_ref());
        statuses.into_iter().flatten()
    };
    let component = pod.labels().get(COMPONENT);
    let runs = |container: &ContainerStatus| {
        let state = container.state.as_ref();
        Some(&container.name) == component && state.is_some_and(|state| state.running.is_some())
    };
    let is_named = |container: &ContainerStatus| {
        of_container(pod, container).is_some_and(|trouble| trouble.reason == REFERENCE_MISSING)
    };
    let waits = || !containers().any(runs) && of_pod(pod).is_none();
    is_there(pod) && (containers().any(is_named) || waits())
}

/// A pod that is about to end is none of ours any more: nobody can keep it.
pub fn is_there(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => "ImageNotPulled",
        "CreateContainerConfigError" => REFERENCE_MISSING,
        "CrashLoopBackOff" => fails(pod),
        "RunContainerError" | "CreateContainerError" => "ContainerNotStarted",
        _ => return None,
    };
    let restarts = waiting.reason.as_deref() == Some("CrashLoopBackOff");
    let last_words = restarts.then(|| last_words(container)).flatten();
    let said = last_words
        .or_else(|| waiting.message.clone())
        .or_else(|| waiting.reason.clone())
        .unwrap_or_default();
    Some(Trouble {
        reason,
        message: format!("pod {}: {said}", pod.name_any()),
    })
}

fn fails(pod: &Pod) -> &'static str {
    if is_part(pod, NATS) {
        "NatsFails"
    } else {
        "GatewayFails"
    }
}

/// How a container that is started again and again ended last, and the end of what it said: what the kubelet says of it is only
/// that it waits.
fn last_words(container: &ContainerStatus) -> Option<String> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    let said = ended.message.as_deref().unwrap_or_default().trim();
    let hidden = said.chars().count().saturating_sub(LAST_WORDS);
    let said: String = said.chars().skip(hidden).collect();
    let cause = match ended.reason.as_deref() {
        Some("OOMKilled") => "ended for lack of memory".to_owned(),
        _ => format!("ended with code {}", ended.exit_code),
    };
    Some(match (said.is_empty(), hidden) {
        (true, _) => cause,
        (false, 0) => format!("{cause}: {said}"),
        (false, _) => format!("{cause}: …{said}"),
    })
}

fn unscheduled(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(Trouble {
        reason: "Unschedulable",
        message: format!(
            "pod {}: {}",
            pod.name_any(),
            condition.message.as_deref().unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::build::COMPONENT;

    fn pod(component: &str, container: &Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "chat-1", "labels": {(COMPONENT): component}},
            "status": {"containerStatuses": [container]},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn container(waiting: &str, terminated: &Value) -> Value {
        json!({
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": waiting, "message": "back-off 10s restarting failed container"}},
            "lastState": {"terminated": terminated},
        })
    }

    #[test]
    fn the_last_words_of_what_fails_are_told() {
        let told = |component, terminated: &Value| {
            let trouble = of_pod(&pod(component, &container("CrashLoopBackOff", terminated))).unwrap();
            (trouble.reason, trouble.message)
        };
        let said = json!({"exitCode": 64, "message": "limits.x: no such key\nclient.y: too small\n"});
        assert_eq!(
            told("gateway", &said),
            (
                "GatewayFails",
                "pod chat-1: ended with code 64: limits.x: no such key\nclient.y: too small".to_owned()
            )
        );
        assert_eq!(
            told("nats", &json!({"exitCode": 137, "reason": "OOMKilled"})),
            ("NatsFails", "pod chat-1: ended for lack of memory".to_owned())
        );
        let long = json!({"exitCode": 1, "message": format!("beginning {}", "x".repeat(LAST_WORDS))});
        let (_, message) = told("gateway", &long);
        assert!(
            message.ends_with(&format!("code 1: …{}", "x".repeat(LAST_WORDS))),
            "{message}"
        );
        assert_eq!(
            told("gateway", &Value::Null).1,
            "pod chat-1: back-off 10s restarting failed container"
        );
    }

    #[test]
    fn a_secret_may_be_what_a_pod_waits_for_that_does_not_run() {
        let lacks = |component, container: &Value| may_lack_secret(&pod(component, container));
        let state = |name: &str, state: &Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let waiting = |reason: &str| state("main", &json!({"waiting": {"reason": reason}}));
        for component in ["gateway", "nats"] {
            for (reason, expected) in [
                ("ContainerCreating", true),
                ("CreateContainerConfigError", true),
                ("ImagePullBackOff", false),
                ("CrashLoopBackOff", false),
            ] {
                assert_eq!(
                    lacks(component, &waiting(reason)),
                    expected,
                    "{component}: {reason}"
                );
            }
            let running = json!({"running": {}});
            assert!(!lacks(component, &state(component, &running)), "{component} runs");
            assert!(
                lacks(component, &state("beside", &running)),
                "{component} does not"
            );
        }
        let mut pod = pod("nats", &waiting("CreateContainerConfigError"));
        let beside = serde_json::from_value(waiting("CrashLoopBackOff")).unwrap();
        let status = pod.status.as_mut().unwrap();
        status.container_statuses.as_mut().unwrap().insert(0, beside);
        assert!(may_lack_secret(&pod), "whatever another container does");
        pod.status.as_mut().unwrap().phase = Some("Failed".to_owned());
        assert!(!may_lack_secret(&pod), "it ended");
    }

    #[test]
    fn who_waits_for_something_else_is_not_blamed_for_the_run_before() {
        let container = container("ErrImagePull", &json!({"exitCode": 1, "message": "old"}));
        let trouble = of_pod(&pod("gateway", &container)).unwrap();
        assert_eq!(
            (trouble.reason, trouble.message.contains("old")),
            ("ImageNotPulled", false)
        );
    }
}
