//! One NATS server process and its directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;
use reqwest::Client;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::NatsBuilder;
use super::config::Ports;
use crate::http;
use crate::process::Process;
use crate::wait::eventually;

/// Enough for a start or a stop on a busy machine, `JetStream` recovery included.
const LIMIT: Duration = Duration::from_secs(20);

/// A NATS server of this test; dropping it kills the process and removes its directory.
pub struct NatsServer {
    name: String,
    program: PathBuf,
    process: Mutex<Arc<Process>>,
    ports: Ports,
    directory: TempDir,
    pub(super) http: Client,
}

impl NatsServer {
    /// Starts one server with the default settings.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Chooses settings first.
    pub fn builder() -> NatsBuilder {
        NatsBuilder::default()
    }

    /// Starts the process without waiting: the nodes of a cluster need each other to become ready.
    pub(super) fn spawn(
        name: &str,
        program: PathBuf,
        ports: Ports,
        config: impl FnOnce(&Ports, &Path) -> String,
    ) -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot create the directory of a NATS server")?;
        let text = config(&ports, directory.path());
        std::fs::write(directory.path().join("nats.conf"), text)
            .context("cannot write the NATS configuration")?;
        let process = Mutex::new(launch(name, &program, directory.path())?);
        Ok(Self {
            name: name.to_owned(),
            program,
            process,
            ports,
            directory,
            http: http::client()?,
        })
    }

    /// `nats://127.0.0.1:port`, the same over restarts.
    pub fn url(&self) -> String {
        format!("nats://{}", self.ports.client.address())
    }

    /// The client port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.ports.client.number()
    }

    /// The base URL of the monitoring endpoints.
    pub fn monitor_url(&self) -> String {
        format!("http://{}", self.ports.monitor.address())
    }

    /// The process id of the running (or last) process.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// The log of the running (or last) process.
    pub fn log(&self) -> Vec<String> {
        self.process().stderr().all()
    }

    /// Ends the server as a crash would (SIGKILL).
    pub fn kill(&self) -> Result<()> {
        self.process().kill()
    }

    /// Ends the server as an operator would (SIGTERM) and waits until it is gone.
    pub async fn stop(&self) -> Result<()> {
        let process = self.process();
        process.signal(Signal::TERM)?;
        process.wait_exit(LIMIT).await.map(drop)
    }

    /// Starts the server again on its ports and with its store, killing it first if it runs; waits until it accepts.
    pub async fn restart(&self) -> Result<()> {
        self.relaunch()?;
        self.wait_ready().await
    }

    /// Copies what `JetStream` has stored, in place of an earlier copy; the server must not run.
    pub fn save_store(&self) -> Result<()> {
        self.copy_store("store", "saved")
    }

    /// Brings the copy back, as a volume that is restored; the server must not run.
    pub fn restore_store(&self) -> Result<()> {
        self.copy_store("saved", "store")
    }

    fn copy_store(&self, from: &str, to: &str) -> Result<()> {
        ensure!(!self.running()?, "{} runs", self.name);
        let (from, to) = (self.directory.path().join(from), self.directory.path().join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to).context("cannot remove a store")?;
        }
        let copied = Command::new("cp").arg("-r").arg(&from).arg(&to).status();
        ensure!(
            copied.context("cannot run cp")?.success(),
            "cannot copy {}",
            from.display()
        );
        Ok(())
    }

    /// As [`restart`](Self::restart), without waiting.
    pub(super) fn relaunch(&self) -> Result<()> {
        self.kill()?;
        *self.process.lock() = launch(&self.name, &self.program, self.directory.path())?;
        Ok(())
    }

    /// Waits until the server greets clients and calls itself healthy.
    pub(super) async fn wait_ready(&self) -> Result<()> {
        let process = self.process();
        let what = format!("{} accepts clients", self.name);
        let ready = eventually(&what, LIMIT, async || {
            if let Some(status) = process.exited()? {
                return Ok(Err(anyhow::anyhow!(
                    "{} ended at its start ({status})",
                    self.name
                )));
            }
            self.greets().await?;
            self.get("healthz").await.map(|_| Ok(()))
        });
        let ready: Result<Result<()>> = ready.await;
        ready
            .flatten()
            .with_context(|| format!("the log of {} ends with:\n{}", self.name, process.stderr().tail()))
    }

    /// A listening port alone is not enough: the greeting shows that the server serves it.
    async fn greets(&self) -> Result<()> {
        let socket = TcpStream::connect(self.ports.client.address())
            .await
            .context("cannot connect")?;
        let mut greeting = String::new();
        BufReader::new(socket)
            .read_line(&mut greeting)
            .await
            .context("cannot read the greeting")?;
        ensure!(greeting.starts_with("INFO "), "greeted by {greeting:?}");
        Ok(())
    }

    /// The JSON of a monitoring endpoint, for example `varz` or `connz?subs=1`.
    pub async fn get(&self, endpoint: &str) -> Result<serde_json::Value> {
        let url = format!("{}/{endpoint}", self.monitor_url());
        let response = self
            .http
            .get(&url)
            .send()
            .await
            .with_context(|| format!("cannot get {url}"))?;
        let status = response.status();
        let body = response
            .text()
            .await
            .with_context(|| format!("cannot read {url}"))?;
        if !status.is_success() {
            bail!("{url} answered {status}: {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("{url} answered no JSON: {body}"))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn running(&self) -> Result<bool> {
        Ok(self.process().exited()?.is_none())
    }

    fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock())
    }
}

fn launch(name: &str, program: &Path, directory: &Path) -> Result<Arc<Process>> {
    let mut command = Command::new(program);
    command.arg("--config").arg(directory.join("nats.conf"));
    Process::spawn(name, &mut command).map(Arc::new)
}
