//! `kubectl`, as a user has it: every look and every change of the suite goes through it.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::spawn_blocking;

/// Longest answer of the API server to one request.
const REQUEST_LIMIT: &str = "--request-timeout=30s";

/// Runs it to its end and gives its standard output; what it says on standard error is the error.
pub(crate) async fn kubectl(args: &[&str]) -> Result<String> {
    run("kubectl", args, None).await
}

/// Creates or changes the objects of a manifest.
pub(crate) async fn apply(namespace: &str, manifest: &str) -> Result<String> {
    let args = ["apply", "--server-side", "--namespace", namespace, "--filename=-"];
    run("kubectl", &args, Some(manifest.to_owned())).await
}

/// Deletes an object and waits until it is gone.
pub(crate) async fn delete(namespace: &str, kind: &str, name: &str) -> Result<()> {
    let args = [
        "delete",
        kind,
        name,
        "--namespace",
        namespace,
        "--wait=true",
        "--timeout=120s",
    ];
    run("kubectl", &args, None).await.map(drop)
}

/// An object.
pub(crate) async fn get(namespace: &str, kind: &str, name: &str) -> Result<Value> {
    let text = kubectl(&["get", kind, name, "--namespace", namespace, "--output=json"]).await?;
    Ok(serde_json::from_str(&text)?)
}

/// The objects of a kind, or of several with commas between them, with these labels.
pub(crate) async fn list(namespace: &str, kinds: &str, labels: &str) -> Result<Vec<Value>> {
    let args = [
        "get",
        kinds,
        "--namespace",
        namespace,
        "--selector",
        labels,
        "--output=json",
    ];
    let answer: Value = serde_json::from_str(&kubectl(&args).await?)?;
    let items = answer["items"].as_array();
    items.cloned().context("the answer is no list")
}

/// The answer of the API server to a path, which may lead on to a pod.
pub(crate) async fn raw(path: &str) -> Result<String> {
    kubectl(&["get", "--raw", path]).await
}

/// Runs a program of the cluster's recipe.
pub(super) async fn run(program: &str, args: &[&str], input: Option<String>) -> Result<String> {
    ensure!(
        std::env::var_os("KUBECONFIG").is_some(),
        "there is no cluster: tests/kubernetes/e2e starts one and runs this suite"
    );
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if program == "kubectl" {
        command.arg(REQUEST_LIMIT);
    }
    let shown = format!("{program} {}", args.join(" "));
    let output = spawn_blocking(move || {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.unwrap_or_default().as_bytes())?;
        }
        child.wait_with_output()
    })
    .await?
    .with_context(|| format!("cannot run {shown}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}", error.trim());
    Ok(String::from_utf8(output.stdout)?)
}
