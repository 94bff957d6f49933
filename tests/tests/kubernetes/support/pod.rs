//! Violence against pods.

use anyhow::{Context, Result};

use super::{cluster, get};

/// Ends the program of a container as a crash would (SIGKILL): from the node, as the images hold no shell.
pub(crate) async fn kill(namespace: &str, pod: &str, container: &str) -> Result<()> {
    let (node, id) = find(namespace, pod, container).await?;
    cluster(&["kill", &node, &id]).await.map(drop)
}

/// Loses everything that the pod of a container sends to an address.
pub(crate) async fn sever(namespace: &str, pod: &str, container: &str, address: &str) -> Result<()> {
    let (node, id) = find(namespace, pod, container).await?;
    cluster(&["sever", &node, &id, address]).await.map(drop)
}

/// Ends [`sever`].
pub(crate) async fn rejoin(namespace: &str, pod: &str, container: &str, address: &str) -> Result<()> {
    let (node, id) = find(namespace, pod, container).await?;
    cluster(&["rejoin", &node, &id, address]).await.map(drop)
}

/// The node of a container, and its name there.
async fn find(namespace: &str, pod: &str, container: &str) -> Result<(String, String)> {
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
    Ok((node.to_owned(), id.to_owned()))
}
