//! The operator as a process of its own, as it runs in a pod.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::gateway::{LogLine, Metrics};
use crate::secrets::{self, Leak};
use crate::shown::shown_by;
use crate::{http, process::Process, tools};

const START_LIMIT: Duration = Duration::from_secs(30);

/// How an operator is started.
#[derive(Clone)]
pub struct OperatorBuilder {
    kubeconfig: PathBuf,
    args: Vec<String>,
}

/// A running operator; dropping it kills it, and fails the test if it has shown a secret ([`crate::secrets`]).
pub struct Operator {
    process: Process,
    ops: SocketAddr,
    /// The test itself looks for secrets.
    watched: AtomicBool,
}

impl OperatorBuilder {
    /// One that works with this kubeconfig; its other settings have their defaults.
    pub fn new(kubeconfig: impl Into<PathBuf>) -> Self {
        Self {
            kubeconfig: kubeconfig.into(),
            args: Vec::new(),
        }
    }

    /// Adds a flag of `natter-operator run`, as `--namespace`.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts it and waits until its ops port listens.
    pub async fn start(&self) -> Result<Operator> {
        let mut command = Command::new(tools::operator().await?);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("NATTER_") || text.starts_with("OTEL_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command
            .arg("run")
            .args(["--ops-listen", "127.0.0.1:0"])
            .args(&self.args);
        command.env("KUBECONFIG", &self.kubeconfig);
        let process = Process::spawn("natter-operator", &mut command)?;
        let (_, ops) = process.stderr().wait(0, START_LIMIT, starts).await?;
        Ok(Operator {
            process,
            ops,
            watched: AtomicBool::new(false),
        })
    }
}

impl Operator {
    /// Asks it to end, with SIGTERM.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Ends it at once, without a chance to clean up.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Waits for its end.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(limit).await
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// The secrets that are shown in its log and on its ops port. Whoever asks judges them: dropping the operator does not fail the
    /// test any more.
    pub fn shown_secrets(&self) -> Vec<Leak> {
        self.watched.store(true, Ordering::Relaxed);
        self.look()
    }

    fn look(&self) -> Vec<Leak> {
        shown_by(&self.process, self.ops)
            .iter()
            .flat_map(|(place, text)| secrets::shown_in(place, text))
            .collect()
    }

    /// Its log so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.process
            .stderr()
            .all()
            .iter()
            .map(|line| LogLine::new(line))
            .collect()
    }

    /// Status and body of a path of the ops port.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let response = http::client()?
            .get(format!("http://{}{path}", self.ops))
            .send()
            .await;
        let response = response.with_context(|| format!("{path} does not answer"))?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// One scrape.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics").await?.1)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if !self.watched.load(Ordering::Relaxed) {
            secrets::fail(&self.look());
        }
    }
}

fn starts(line: &str) -> Option<SocketAddr> {
    let line = LogLine::new(line);
    (line.message() == "starts").then(|| line.field("ops")?.as_str()?.parse().ok())?
}
