//! Runs helm on the chart, without a Kubernetes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::process::Process;
use natter_tests::tools;
use serde::Deserialize;
use serde_json::Value;

/// For one run on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Name and namespace of the release, unlike anything that the chart could name by itself.
pub(crate) const RELEASE: &str = "edge";
pub(crate) const NAMESPACE: &str = "natter-system";
/// The version that the end-to-end suite runs on.
const KUBERNETES: [&str; 2] = ["--kube-version", "1.34.0"];
/// APIs that come with other projects, and our own once it is installed.
pub(crate) const ALL_APIS: [&str; 2] = ["monitoring.coreos.com/v1", "natter.dev/v1alpha1"];

/// One way to call helm: files of values, single values, APIs that Kubernetes has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Render {
    arguments: Vec<String>,
}

/// How a run of helm ended.
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Render {
    /// With the chart's defaults.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A file of `tests/chart/`, or of the chart itself.
    pub(crate) fn values(self, file: &Path) -> Self {
        self.with("--values", &file.to_string_lossy())
    }

    pub(crate) fn set(self, value: &str) -> Self {
        self.with("--set-json", value)
    }

    pub(crate) fn apis(self, apis: &[&str]) -> Self {
        apis.iter()
            .fold(self, |render, api| render.with("--api-versions", api))
    }

    fn with(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// The manifests, those of hooks as well.
    pub(crate) async fn manifests(&self) -> Result<Vec<Value>> {
        let finished = self.run(&["template", RELEASE], &KUBERNETES).await?;
        ensure!(finished.success, "{self:?}: {}", finished.stderr);
        let documents = serde_yaml_ng::Deserializer::from_str(&finished.stdout);
        let documents = documents.map(|document| Value::deserialize(document).context("no YAML"));
        let mut manifests = documents.collect::<Result<Vec<_>>>()?;
        manifests.retain(|manifest| !manifest.is_null());
        Ok(manifests)
    }

    /// What an installation says to the person who made it. Only an installation prints it, so it is asked for as a manifest.
    pub(crate) async fn notes(&self) -> Result<String> {
        let text = r#"{"kind": "Notes", "metadata": {"name": "notes"}, "text": {{ include "natter.notes" . | toJson }}}"#;
        let asked = self
            .clone()
            .set(&format!("extraManifests={}", serde_json::json!([text])));
        let manifests = asked.manifests().await?;
        let notes = find(&manifests, "Notes/notes")?["text"].as_str();
        Ok(notes.context("there are no notes")?.to_owned())
    }

    pub(crate) async fn lint(&self) -> Result<Finished> {
        self.run(&["lint", "--strict"], &KUBERNETES).await
    }

    pub(crate) async fn template(&self) -> Result<Finished> {
        self.run(&["template", RELEASE], &KUBERNETES).await
    }

    async fn run(&self, before: &[&str], after: &[&str]) -> Result<Finished> {
        let mut command = Command::new(tools::helm()?);
        let nothing = tempfile::tempdir()?;
        command
            .args(before)
            .arg(chart())
            .args(["--namespace", NAMESPACE])
            .args(after)
            .args(&self.arguments)
            // Nothing of whoever runs the tests, and no cluster of theirs.
            .env("HOME", nothing.path())
            .env("KUBECONFIG", nothing.path().join("none"));
        let process = Process::spawn("helm", &mut command)?;
        let status = process.wait_exit(LIMIT).await?;
        Ok(Finished {
            success: status.success(),
            stdout: process.stdout().all().join("\n") + "\n",
            stderr: process.stderr().all().join("\n"),
        })
    }
}

/// The folder of the chart.
pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/natter")
}

/// A file of values of this suite.
pub(crate) fn values(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("chart/{name}.yaml"))
}

/// Kind and name, for messages and look-ups.
pub(crate) fn identity(manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{}/{}", text("/kind"), text("/metadata/name"))
}

/// The only manifest of a kind and name.
pub(crate) fn find<'a>(manifests: &'a [Value], wanted: &str) -> Result<&'a Value> {
    let mut found = manifests.iter().filter(|manifest| identity(manifest) == wanted);
    let first = found.next().with_context(|| {
        let there: Vec<_> = manifests.iter().map(identity).collect();
        format!("no {wanted} among {there:?}")
    })?;
    ensure!(found.next().is_none(), "{wanted} is there twice");
    Ok(first)
}

/// How many manifests of a kind there are.
pub(crate) fn count(manifests: &[Value], kind: &str) -> usize {
    manifests
        .iter()
        .filter(|manifest| manifest["kind"] == kind)
        .count()
}
