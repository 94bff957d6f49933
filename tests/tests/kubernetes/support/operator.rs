//! The operator, installed once by its chart, as a user does it.

use std::path::Path;

use anyhow::Result;
use tokio::sync::OnceCell;

use super::kubectl::run;

/// Release and namespace of the operator.
pub(crate) const RELEASE: &str = "natter";
pub(crate) const NAMESPACE: &str = "natter-system";

/// Installs the operator unless this process did it before.
pub(crate) async fn operator() -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED.get_or_try_init(install).await.copied()
}

/// `upgrade --install`: a cluster that was kept from an earlier run gets what is new.
async fn install() -> Result<()> {
    let chart = chart();
    let args = [
        "upgrade",
        "--install",
        RELEASE,
        &chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
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

fn chart() -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/natter");
    chart.to_string_lossy().into_owned()
}

/// Runs helm to its end.
pub(crate) async fn helm(args: &[&str]) -> Result<String> {
    run("helm", args, None).await
}
