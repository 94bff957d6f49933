//! The real `natter-gateway` program as a child of the test.

mod api;
mod builder;
mod logs;
mod metrics;
mod shown;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use reqwest::Client;
use rustix::process::Signal;
use tempfile::TempDir;

use self::builder::FileLimits;
pub use self::builder::{Finished, GatewayBuilder};
pub use self::logs::LogLine;
pub use self::metrics::Metrics;
use crate::port::ReservedPort;
use crate::process::Process;
use crate::secrets::Secrets;

/// From the start of the program to its listening line, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The key that [`Gateway::api`] sends unless the builder names another; the test's configuration must list it.
pub const API_KEY: &str = "natter-tests";

/// Every method of the server API.
pub const API_METHODS: [&str; 21] = [
    "publish",
    "broadcast",
    "history",
    "history_remove",
    "presence",
    "presence_stats",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "info",
    "channels",
    "rpc",
    "block_user",
    "unblock_user",
    "revoke_token",
    "invalidate_user_tokens",
    "ban_user",
    "unban_user",
    "revocations",
    "batch",
];

/// A running gateway; dropping it kills it.
pub struct Gateway {
    launch: Launch,
    running: Mutex<Running>,
    api_key: String,
    http: Client,
    /// The test itself looks for secrets.
    watched: AtomicBool,
}

/// All that is needed to start the program again in the same way.
struct Launch {
    binary: PathBuf,
    name: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    files: Option<FileLimits>,
    secrets: Mutex<Secrets>,
    public: ReservedPort,
    ops: ReservedPort,
    directory: TempDir,
}

/// One process and the addresses that it reported.
#[derive(Clone)]
struct Running {
    process: Arc<Process>,
    public: SocketAddr,
    ops: SocketAddr,
}

impl Gateway {
    /// Chooses configuration and environment first.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Where clients connect: `ws://…/connection/websocket`.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/connection/websocket", self.public())
    }

    /// The base URL of the public port, without a slash at the end.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.public())
    }

    /// The base URL of the ops port, without a slash at the end.
    pub fn ops_url(&self) -> String {
        format!("http://{}", self.running().ops)
    }

    /// The public port's address, for raw sockets.
    pub fn public(&self) -> SocketAddr {
        self.running().public
    }

    /// The ops port's address, for raw sockets.
    pub fn ops(&self) -> SocketAddr {
        self.running().ops
    }

    /// The process id of the running (or last) process.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Asks the gateway to drain and end (SIGTERM).
    pub fn terminate(&self) -> Result<()> {
        self.process().signal(Signal::TERM)
    }

    /// Asks the gateway to end without delay, as Ctrl-C does (SIGINT).
    pub fn interrupt(&self) -> Result<()> {
        self.process().signal(Signal::INT)
    }

    /// Asks the gateway to read its configuration again (SIGHUP).
    pub fn reload(&self) -> Result<()> {
        self.process().signal(Signal::HUP)
    }

    /// Ends the gateway as a crash would (SIGKILL).
    pub fn kill(&self) -> Result<()> {
        self.process().kill()
    }

    /// Waits until the gateway has ended by itself and its last log line is read.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        self.process().wait_exit(limit).await
    }

    /// Starts the program again on the same ports, killing it first if it runs; logs begin anew.
    pub async fn restart_same_port(&self) -> Result<()> {
        self.kill()?;
        self.check_shown();
        let next = self.launch.run().await?;
        *self.running.lock() = next;
        Ok(())
    }

    /// The configuration file, as given by `--config`.
    pub fn config_path(&self) -> PathBuf {
        self.launch.config_path()
    }

    /// Replaces the configuration file as a mounted `ConfigMap` does: whole, by a rename.
    pub fn write_config(&self, yaml: &str) -> Result<()> {
        self.launch.write_config(yaml)
    }

    /// Resident memory of the process in bytes, from the kernel.
    pub fn rss_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .with_context(|| format!("{path} has no VmRSS in kB"))
    }

    /// CPU time that the process has used so far, user and system, from the kernel (proc(5), `/proc/pid/stat`).
    pub fn cpu_time(&self) -> Result<Duration> {
        /// Fields 14 and 15 count in these a second, whatever the kernel's own tick is.
        const USER_HZ: u32 = 100;
        let path = format!("/proc/{}/stat", self.pid());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name in parentheses may hold anything; the fields behind it begin with the third.
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '));
        let ticks: Vec<u32> = fields
            .into_iter()
            .flatten()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        ensure!(ticks.len() == 2, "{path} has no times: {stat}");
        Ok(Duration::from_secs(1) * ticks.iter().sum() / USER_HZ)
    }

    fn running(&self) -> Running {
        self.running.lock().clone()
    }

    fn process(&self) -> Arc<Process> {
        self.running().process
    }
}

impl Launch {
    fn config_path(&self) -> PathBuf {
        self.directory.path().join("natter.yaml")
    }

    fn write_config(&self, yaml: &str) -> Result<()> {
        self.secrets.lock().of_config(yaml);
        let (path, fresh) = (self.config_path(), self.directory.path().join("natter.yaml.new"));
        std::fs::write(&fresh, yaml)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The program with nothing of the developer's own environment that would change what it does.
    fn command(&self) -> Command {
        let mut command = self.program();
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("NATTER_") || text.starts_with("OTEL_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command.env("NATTER_LISTEN", self.public.address().to_string());
        command.env("NATTER_OPS_LISTEN", self.ops.address().to_string());
        command.env("NATTER_LOG_FORMAT", "json");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Limits are set by a shell that the program then replaces: the process id stays.
    fn program(&self) -> Command {
        let Some(FileLimits { soft, hard }) = self.files else {
            return Command::new(&self.binary);
        };
        let mut command = Command::new("sh");
        command.arg("-c");
        command.arg(format!(
            "ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\""
        ));
        command.arg(&self.binary);
        command
    }

    /// Starts the program and waits for its line `listening` with the addresses.
    async fn run(&self) -> Result<Running> {
        let mut command = self.command();
        command.arg("--config").arg(self.config_path()).args(&self.args);
        let process = Process::spawn(&self.name, &mut command)?;
        let listening = process.stderr().wait(0, START_LIMIT, listening).await;
        let (_, (public, ops)) = listening.with_context(|| match process.exited() {
            Ok(Some(status)) => format!("{} ended at its start ({status})", self.name),
            _ => format!("{} does not listen", self.name),
        })?;
        Ok(Running {
            process: Arc::new(process),
            public,
            ops,
        })
    }

    /// Runs the program to its end with other arguments; the configuration file's path stands for `{config}`.
    async fn finish(&self, args: &[&str], limit: Duration) -> Result<Finished> {
        let config = self.config_path();
        let args = args
            .iter()
            .map(|arg| arg.replace("{config}", &config.to_string_lossy()));
        let process = Process::spawn(&self.name, self.command().args(args))?;
        let status = process.wait_exit(limit).await?;
        Ok(Finished {
            status,
            stdout: process.stdout().all(),
            stderr: process.stderr().all(),
        })
    }
}

/// The addresses of the line that a gateway logs once both ports accept.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = LogLine::new(line);
    let address = |name| line.field(name)?.as_str()?.parse().ok();
    (line.message() == "listening").then(|| Some((address("public")?, address("ops")?)))?
}

/// Fails with the text of a response that is no success.
fn check(url: &str, status: u16, body: &str) -> Result<()> {
    ensure!((200..300).contains(&status), "{url} answered {status}: {body}");
    Ok(())
}
