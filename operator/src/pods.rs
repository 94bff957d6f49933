//! Why a pod does not start, in the kubelet's own words: an image that does not pull, a Secret without its key.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

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

/// What keeps one pod from running.
pub fn of_pod(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    containers
        .chain(status.init_container_statuses.iter().flatten())
        .find_map(|container| of_container(pod, container))
        .or_else(|| unscheduled(pod))
}

fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => "ImageNotPulled",
        "CreateContainerConfigError" => "ReferenceMissing",
        "CrashLoopBackOff" => "GatewayFails",
        "RunContainerError" | "CreateContainerError" => "ContainerNotStarted",
        _ => return None,
    };
    let said = waiting
        .message
        .as_deref()
        .or(waiting.reason.as_deref())
        .unwrap_or_default();
    Some(Trouble {
        reason,
        message: format!("pod {}: {said}", pod.name_any()),
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
