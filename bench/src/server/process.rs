//! A program of the run's own, which says on stderr in JSON where it listens, as a gateway does.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow};
use serde_json::Value;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Dropping it ends it as a crash would (SIGKILL).
#[derive(Debug)]
pub(super) struct Process(Child);

/// What a program says when it is ready.
#[derive(Debug)]
pub(super) struct Listening {
    /// For clients.
    pub(super) public: SocketAddr,
    /// Metrics of a gateway.
    pub(super) ops: Option<SocketAddr>,
    /// What a peer runs on.
    pub(super) version: Option<String>,
}

impl Process {
    /// Starts `command` and waits until it listens. What it writes on stderr and is not routine is passed on, behind `name`.
    pub(super) fn start(name: &'static str, command: &mut Command) -> anyhow::Result<(Self, Listening)> {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let logs = child.stderr.take();
        // Dropping the process ends it when it does not listen in time.
        let process = Self(child);
        let logs = logs.with_context(|| format!("the {name} has no log"))?;
        Ok((process, watch(name, logs)?))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the log to its end, and waits for the line that tells the addresses.
fn watch(name: &'static str, logs: ChildStderr) -> anyhow::Result<Listening> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(logs).lines().map_while(Result::ok) {
            let fields: Value = serde_json::from_str(&line).unwrap_or_default();
            let field = |name| fields.get(name).and_then(Value::as_str);
            if field("message") == Some("listening") {
                // Nobody listens after the first time.
                let _ = tell.send(listening(&fields));
            } else if !matches!(field("level"), Some("INFO" | "DEBUG" | "TRACE")) {
                eprintln!("{name}: {line}");
            }
        }
    });
    let told = told
        .recv_timeout(START_LIMIT)
        .map_err(|_| anyhow!("the {name} does not listen"))?;
    told.with_context(|| format!("the {name} does not say where it listens"))
}

fn listening(fields: &Value) -> Option<Listening> {
    let field = |name| fields.get(name).and_then(Value::as_str);
    Some(Listening {
        public: field("public")?.parse().ok()?,
        ops: field("ops").and_then(|address| address.parse().ok()),
        version: field("version").map(str::to_owned),
    })
}
