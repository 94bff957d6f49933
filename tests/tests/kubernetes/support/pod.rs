//! Violence against pods.

use std::path::Path;

use anyhow::{Context, Result};

use super::{get, kubectl::run};

/// Ends the program of a container as a crash would (SIGKILL): from the node, as the images hold no shell.
pub(crate) async fn kill(namespace: &str, pod: &str, container: &str) -> Result<()> {
    let object = get(namespace, "pod", pod).await?;
    let statuses = object["status"]["containerStatuses"].as_array();
    let id = statuses
        .into_iter()
        .flatten()
        .find(|status| status["name"] == container)
        .and_then(|status| status["containerID"].as_str()?.strip_prefix("containerd://"))
        .with_context(|| format!("{pod} runs no container {container}"))?;
    let node = object["spec"]["nodeName"]
        .as_str()
        .context("the pod has no node")?;
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/cluster");
    run(&cluster.to_string_lossy(), &["kill", node, id], None)
        .await
        .map(drop)
}
