//! etcd, an API server and the controllers that need no node: real, on loopback, without pods.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::secrets;
use crate::process::Process;

/// Time until the API answers, on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(3);

/// A control plane. It ends when this is dropped, and with the test process whatever happens: its script watches its
/// standard input.
pub struct ApiServer {
    kubeconfig: PathBuf,
    _secrets: oneshot::Sender<()>,
    _process: Process,
    _folder: TempDir,
}

impl ApiServer {
    /// Starts one of its own.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the API server")?;
        let mut command = Command::new(script("api-server"));
        command.arg(folder.path().join("state")).arg("controllers");
        let process = Process::spawn_group("api-server", &mut command)?;
        let line = process
            .stdout()
            .wait(0, START_LIMIT, |line| Some(PathBuf::from(line)));
        let (_, kubeconfig) = line
            .await
            .with_context(|| format!("the API server does not start:\n{}", process.stderr().tail()))?;
        Ok(Self {
            _secrets: secrets::remember(&kubeconfig)?,
            kubeconfig,
            _process: process,
            _folder: folder,
        })
    }

    /// Path of a kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Definitions of resources of other projects, one YAML file each: `PodMonitor`, `HTTPRoute` and their like.
    pub fn foreign_definitions() -> Result<Vec<PathBuf>> {
        let output = Command::new(script("cluster")).arg("crds").output();
        let output = output.context("cannot run tests/kubernetes/cluster")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let folder = String::from_utf8(output.stdout).context("the folder of definitions is no text")?;
        let entries = std::fs::read_dir(folder.trim()).with_context(|| format!("cannot read {folder}"))?;
        let mut files = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        Ok(files)
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("kubernetes")
        .join(name)
}
