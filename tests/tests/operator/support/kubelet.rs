//! Plays the kubelet where there is no node: pods become ready, or stay in the trouble that a test gives them. Everything
//! else about them is the API server's and the controllers' work.

use std::sync::Arc;

use anyhow::Result;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What a pod waits for, by a part of its name: the kubelet's reason and message.
type Troubles = Arc<Mutex<Vec<(String, Value)>>>;

/// Ends when it is dropped.
pub(crate) struct Kubelet {
    troubles: Troubles,
    pods: Api<Pod>,
    task: JoinHandle<()>,
}

impl Kubelet {
    pub(crate) fn start(client: &Client, namespace: &str) -> Self {
        let troubles = Troubles::default();
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let task = tokio::spawn(run(pods.clone(), Arc::clone(&troubles)));
        Self { troubles, pods, task }
    }

    /// Pods whose name holds `part` do not start from now on.
    pub(crate) fn hold(&self, part: &str, reason: &str, message: &str) {
        let waiting = json!({"reason": reason, "message": message});
        self.troubles.lock().push((part.to_owned(), waiting));
    }

    /// New pods start again; those that were held stay so.
    pub(crate) fn release_new(&self) {
        self.troubles.lock().clear();
    }

    /// Pods start again, also those that were held.
    pub(crate) async fn release(&self) -> Result<()> {
        self.release_new();
        for pod in self.pods.list(&kube::api::ListParams::default()).await? {
            settle(&self.pods, &self.troubles, &pod).await;
        }
        Ok(())
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(pods: Api<Pod>, troubles: Troubles) {
    let mut changes = std::pin::pin!(
        watcher(pods.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects()
    );
    while let Some(change) = changes.next().await {
        if let Ok(pod) = change {
            settle(&pods, &troubles, &pod).await;
        }
    }
}

/// Says how a pod is, if it does not say so yet.
async fn settle(pods: &Api<Pod>, troubles: &Troubles, pod: &Pod) {
    let name = pod.name_any();
    let waiting = troubles
        .lock()
        .iter()
        .find(|(part, _)| name.contains(part.as_str()))
        .map(|(_, waiting)| waiting.clone());
    let ready = waiting.is_none();
    let said = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let said = said
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    let wanted = if ready { "True" } else { "False" };
    // One that is ready stays so.
    if said.is_some_and(|condition| condition.status == "True" || condition.status == wanted) {
        return;
    }
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let (container, image) = container.map_or_else(Default::default, |container| {
        (
            container.name.clone(),
            container.image.clone().unwrap_or_default(),
        )
    });
    let now = pod.metadata.creation_timestamp.clone();
    let state = waiting.map_or_else(|| json!({"running": {}}), |waiting| json!({"waiting": waiting}));
    let status = json!({"status": {
        "phase": if ready { "Running" } else { "Pending" },
        "conditions": [{"type": "Ready", "status": wanted, "lastTransitionTime": now}],
        "containerStatuses": [{
            "name": container, "image": image, "imageID": "", "ready": ready, "restartCount": 0, "state": state,
        }],
    }});
    // A pod that is gone meanwhile needs no status.
    let _ = pods
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
        .await;
}
