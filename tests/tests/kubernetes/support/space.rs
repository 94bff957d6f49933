//! A namespace of a scenario.

use anyhow::{Context, Result};
use natter_tests::process::artifacts;

use super::{kubectl, operator};

/// Runs a scenario in a namespace of its own, with the operator installed. The namespace is deleted afterwards; if the
/// scenario fails, what was in it is kept in `tests/artifacts` first.
pub(crate) async fn scenario(purpose: &str, body: impl AsyncFnOnce(&str) -> Result<()>) -> Result<()> {
    operator().await?;
    let name = format!("{purpose}-{:05x}", fastrand::u32(..0x10_0000));
    kubectl(&["create", "namespace", &name]).await?;
    // The strictest Pod Security Standard: what the operator builds has to pass it.
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", &name, enforce]).await?;
    let result = body(&name).await;
    if let Err(error) = &result {
        eprintln!("{name}: {error:#}");
        for remains in [keep(&name).await, keep(operator::NAMESPACE).await] {
            remains.unwrap_or_else(|error| eprintln!("nothing is kept of {name}: {error:#}"));
        }
    }
    // Not waited for: the next scenario has its own.
    kubectl(&["delete", "namespace", &name, "--wait=false", "--ignore-not-found"]).await?;
    result
}

/// Writes objects, events and the logs of pods into the folder of the test.
async fn keep(namespace: &str) -> Result<()> {
    let folder = artifacts();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let write = async |name: &str, args: &[&str]| {
        let text = kubectl(&[args, &["--namespace", namespace]].concat()).await;
        let text = text.unwrap_or_else(|error| format!("{error:#}"));
        std::fs::write(folder.join(format!("{namespace}.{name}")), text)
    };
    let kinds = "chatclusters,deployments,statefulsets,pods,services,configmaps,persistentvolumeclaims";
    write("objects.yaml", &["get", kinds, "--output=yaml"]).await?;
    write("events.txt", &["get", "events", "--sort-by=.lastTimestamp"]).await?;
    let pods = kubectl(&["get", "pods", "--namespace", namespace, "--output=name"]).await?;
    for pod in pods.lines() {
        let name = pod.trim_start_matches("pod/");
        write(&format!("{name}.log"), &["logs", pod, "--all-containers"]).await?;
        write(
            &format!("{name}.previous.log"),
            &["logs", pod, "--all-containers", "--previous"],
        )
        .await?;
    }
    Ok(())
}
