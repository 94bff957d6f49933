//! The operator, installed once by its chart, as a user does it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use natter_tests::process::artifacts;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    get,
    kubectl::{kubectl, list, raw, run},
};

/// Release and namespace of the operator.
pub(crate) const RELEASE: &str = "natter";
pub(crate) const NAMESPACE: &str = "natter-system";
/// The release after this one: the same programs, as `scripts/images/build` makes their images.
pub(crate) const NEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "-next");

/// Installs the operator unless this process did it before.
pub(crate) async fn operator() -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED.get_or_try_init(install).await.copied()
}

/// `upgrade --install`: a cluster that was kept from an earlier run gets what is new.
pub(crate) async fn install() -> Result<()> {
    let chart = chart();
    // Of a cluster that was kept, the image has the same name and is another one.
    let run = format!("operator.podAnnotations.run={}", std::process::id());
    let args = [
        "upgrade",
        "--install",
        RELEASE,
        &chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--set-string",
        &run,
        "--wait",
        "--timeout=3m",
    ];
    helm(&args).await.map(drop)
}

/// Changes a value of the installed release, `name=value`.
pub(crate) async fn configure(value: &str) -> Result<()> {
    let chart = chart();
    let args = ["upgrade", RELEASE, &chart, "--namespace", NAMESPACE];
    let more = ["--reuse-values", "--set", value, "--wait", "--timeout=3m"];
    helm(&[&args[..], &more].concat()).await.map(drop)
}

/// Upgrades chart and operator to the next release.
pub(crate) async fn upgrade() -> Result<()> {
    let folder = artifacts().join("chart");
    let folder = folder.to_string_lossy();
    let chart = chart();
    let package = ["package", &chart, "--destination", &folder];
    helm(&[&package[..], &["--version", NEXT, "--app-version", NEXT]].concat()).await?;
    let packed = format!("{folder}/natter-{NEXT}.tgz");
    let args = ["upgrade", RELEASE, &packed, "--namespace", NAMESPACE];
    let more = ["--reset-then-reuse-values", "--wait", "--timeout=3m"];
    helm(&[&args[..], &more].concat()).await.map(drop)
}

/// The pod whose operator leads.
pub(crate) async fn leader() -> Result<String> {
    let lease = get(NAMESPACE, "lease", "natter-operator").await?;
    let holder = lease["spec"]["holderIdentity"].as_str();
    Ok(holder.context("nobody leads")?.to_owned())
}

/// The address from which the operator that leads asks gateways how they are.
pub(crate) async fn leader_address() -> Result<String> {
    let pod = get(NAMESPACE, "pod", &leader().await?).await?;
    let address = pod["status"]["podIP"].as_str();
    Ok(address.context("the pod has no address")?.to_owned())
}

/// The release that each operator says it is, by the name of its pod.
pub(crate) async fn releases() -> Result<BTreeMap<String, String>> {
    let mut releases = BTreeMap::new();
    for name in pods().await? {
        let metrics = metrics(&name).await?;
        let info = metrics.lines().find_map(|line| {
            line.strip_prefix("natter_operator_build_info")?
                .split_once(r#"version=""#)
        });
        let release = info.and_then(|(_, rest)| rest.split_once('"'));
        let (release, _) = release.with_context(|| format!("{name} does not say its release"))?;
        releases.insert(name, release.to_owned());
    }
    Ok(releases)
}

/// Logs and metrics of every operator.
pub(crate) async fn shown() -> Result<String> {
    let mut shown = String::new();
    for name in pods().await? {
        shown += &kubectl(&["logs", &name, "--namespace", NAMESPACE]).await?;
        shown += &metrics(&name).await?;
    }
    Ok(shown)
}

/// Names of the pods that stay.
async fn pods() -> Result<Vec<String>> {
    let mut pods = list(NAMESPACE, "pods", "app.kubernetes.io/component=operator").await?;
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
    let names = pods.iter().map(|pod| name(pod).context("a pod has no name"));
    names.collect()
}

async fn metrics(pod: &str) -> Result<String> {
    raw(&format!(
        "/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9000/proxy/metrics"
    ))
    .await
}

fn chart() -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/natter");
    chart.to_string_lossy().into_owned()
}

/// Runs helm to its end.
pub(crate) async fn helm(args: &[&str]) -> Result<String> {
    run("helm", args, None).await
}
