//! Plays the kubelet where there is no node: pods become ready, or stay in the trouble that a test gives them, and gateways
//! among them have an ops port. Everything else about them is the API server's and the controllers' work.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use natter_operator::build::{COMPONENT, GATEWAY};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::ops::{OpsPort, Played};

/// What keeps a pod, by a part of its name: states of its container.
type Troubles = Vec<(String, Value)>;

/// Ends when it is dropped.
pub(crate) struct Kubelet {
    node: Arc<Node>,
    task: JoinHandle<()>,
}

/// What it knows.
struct Node {
    client: Client,
    pods: Api<Pod>,
    troubles: Mutex<Troubles>,
    /// By name of the pod.
    ops: Mutex<HashMap<String, OpsPort>>,
}

impl Kubelet {
    pub(crate) fn start(client: &Client, namespace: &str) -> Self {
        let node = Arc::new(Node {
            client: client.clone(),
            pods: Api::namespaced(client.clone(), namespace),
            troubles: Mutex::default(),
            ops: Mutex::default(),
        });
        let task = tokio::spawn(run(Arc::clone(&node)));
        Self { node, task }
    }

    /// Pods whose name holds `part` do not start from now on.
    pub(crate) fn hold(&self, part: &str, reason: &str, message: &str) {
        let state = json!({"state": {"waiting": {"reason": reason, "message": message}}});
        self.node.troubles.lock().push((part.to_owned(), state));
    }

    /// The program of pods whose name holds `part` ends again and again from now on, with these last words.
    pub(crate) fn fail(&self, part: &str, code: i32, words: &str) {
        let message = "back-off 10s restarting failed container";
        let state = json!({
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
            "lastState": {"terminated": {"exitCode": code, "reason": "Error", "message": words}},
        });
        self.node.troubles.lock().push((part.to_owned(), state));
    }

    /// New pods start again; those that were held stay so.
    pub(crate) fn release_new(&self) {
        self.node.troubles.lock().clear();
    }

    /// Pods start again, also those that were held.
    pub(crate) async fn release(&self) -> Result<()> {
        self.release_new();
        for pod in self.node.pods.list(&kube::api::ListParams::default()).await? {
            self.node.settle(&pod).await;
        }
        Ok(())
    }

    /// Ends the only container of a pod, with its last words.
    pub(crate) async fn end(&self, pod: &str, code: i32, message: &str) -> Result<()> {
        let found = self.node.pods.get(pod).await?;
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let now = found.metadata.creation_timestamp.clone();
        let mut status = status(&found, None);
        status["status"]["phase"] = json!(phase);
        status["status"]["conditions"][0]["status"] = json!("False");
        let container = &mut status["status"]["containerStatuses"][0];
        container["ready"] = json!(false);
        let ended = json!({"exitCode": code, "message": message, "startedAt": now, "finishedAt": now});
        container["state"] = json!({"running": null, "waiting": null, "terminated": ended});
        let patched = self
            .node
            .pods
            .patch_status(pod, &PatchParams::default(), &Patch::Merge(&status))
            .await;
        patched.map(drop).with_context(|| format!("{pod} does not end"))
    }

    /// Makes a gateway what a test wants it to be.
    pub(crate) fn play(&self, pod: &str, change: impl FnOnce(&mut Played)) -> Result<()> {
        let ops = self.node.ops.lock();
        let port = ops.get(pod).with_context(|| format!("pod {pod} does not run"))?;
        change(&mut port.gateway.lock());
        Ok(())
    }

    /// A gateway as it is.
    pub(crate) fn played(&self, pod: &str) -> Result<Played> {
        let mut seen = Played::default();
        self.play(pod, |gateway| seen = gateway.clone())?;
        Ok(seen)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(node: Arc<Node>) {
    let mut changes = std::pin::pin!(
        watcher(node.pods.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects()
    );
    while let Some(change) = changes.next().await {
        if let Ok(pod) = change {
            node.settle(&pod).await;
        }
    }
}

impl Node {
    /// Says how a pod is, if it does not say so yet.
    async fn settle(&self, pod: &Pod) {
        let name = pod.name_any();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        let waiting = self
            .troubles
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
        let mut status = status(pod, waiting);
        if ready && let Some(address) = self.open_ops(pod).await {
            status["status"]["podIP"] = json!(address);
            status["status"]["podIPs"] = json!([{ "ip": address }]);
        }
        // A pod that is gone meanwhile needs no status.
        let _ = self
            .pods
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await;
    }

    /// The address of a gateway's ops port.
    async fn open_ops(&self, pod: &Pod) -> Option<String> {
        pod.labels().get(COMPONENT).filter(|part| *part == GATEWAY)?;
        let name = pod.name_any();
        let open = self.ops.lock().get(&name).map(|port| port.address);
        if let Some(address) = open {
            return Some(address.to_string());
        }
        let port = OpsPort::start(&self.client, pod).await.ok()?;
        let address = port.address.to_string();
        self.ops.lock().insert(name, port);
        Some(address)
    }
}

/// Ready, or waiting for what keeps it.
fn status(pod: &Pod, waiting: Option<Value>) -> Value {
    let ready = waiting.is_none();
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let (container, image) = container.map_or_else(Default::default, |container| {
        (
            container.name.clone(),
            container.image.clone().unwrap_or_default(),
        )
    });
    let now = pod.metadata.creation_timestamp.clone();
    let state = waiting.unwrap_or_else(|| json!({"state": {"running": {}}, "lastState": {}}));
    json!({"status": {
        "phase": if ready { "Running" } else { "Pending" },
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": now}],
        "containerStatuses": [{
            "name": container, "image": image, "imageID": "", "ready": ready, "restartCount": 0,
            "state": state["state"], "lastState": state["lastState"],
        }],
    }})
}
