//! Values that make no sense, refused before anything reaches Kubernetes.

use anyhow::{Result, ensure};

use crate::helm::Render;

/// A value, and what the message names.
const REFUSED: [(&str, &str); 18] = [
    ("replicas=3", "replicas"),
    ("operator.replica=3", "replica"),
    ("operator.replicas=-1", "replicas"),
    ("operator.replicas=\"two\"", "replicas"),
    ("operator.logFormat=\"xml\"", "logFormat"),
    ("operator.image.pullPolicy=\"Sometimes\"", "pullPolicy"),
    ("operator.image.digest=\"sha256:abc\"", "digest"),
    ("operator.image.tag=\"a b\"", "tag"),
    ("operator.watchNamespace=\"Chat_1\"", "watchNamespace"),
    ("operator.otlpEndpoint=\"https://collector:4318\"", "otlpEndpoint"),
    ("operator.podLabels={\"a\":1}", "podLabels"),
    ("operator.imagePullSecrets=[\"registry\"]", "imagePullSecrets"),
    ("crds.keep=\"yes\"", "keep"),
    ("monitoring.podMonitor.interval=\"30\"", "interval"),
    ("chatCluster.name=\"1chat\"", "name"),
    ("test.urls=[\"https://chat.example\"]", "urls"),
    ("test.urls=[\"ws://a\",\"ws://b\",\"ws://c\"]", "urls"),
    ("test.headers=[\"X-User\"]", "headers"),
];

#[tokio::test]
async fn wrong_values_are_refused_by_name() -> Result<()> {
    for (value, named) in REFUSED {
        let finished = Render::new().set(value).template().await?;
        ensure!(!finished.success, "{value} was taken");
        ensure!(
            finished.stderr.contains("schema") && finished.stderr.contains(named),
            "{value}: {}",
            finished.stderr
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_account_of_others_needs_a_name() -> Result<()> {
    let finished = Render::new()
        .set("serviceAccount.create=false")
        .template()
        .await?;
    ensure!(
        !finished.success && finished.stderr.contains("serviceAccount.name is needed"),
        "{}",
        finished.stderr
    );
    Ok(())
}
