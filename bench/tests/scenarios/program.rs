//! The load tool as users start it, beside a gateway of the same build.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Result, ensure};
use natter_tests::{gateway::Gateway, process::Process, tools};
use serde_json::Value;

/// Of bystanders.
pub(crate) const OTHERS: &str = "--other-rooms 2 --other-members 2 --other-rate 50";
/// For a scenario, on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

pub(crate) struct Program {
    arguments: Vec<String>,
    result: PathBuf,
}

impl Program {
    /// A scenario and its arguments.
    pub(crate) fn new(arguments: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let result = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("result-{number}.json"));
        let program = Self {
            arguments: Vec::new(),
            result,
        };
        program.with(arguments)
    }

    /// On a gateway that the test owns.
    pub(crate) fn on(gateway: &Gateway, arguments: &str) -> Self {
        let (url, pid) = (gateway.ws_url(), gateway.pid());
        Self::new(arguments).with(&format!("--url {url} --pid {pid}"))
    }

    pub(crate) fn with(mut self, arguments: &str) -> Self {
        let arguments = arguments.split_ascii_whitespace().map(str::to_owned);
        self.arguments.extend(arguments);
        self
    }

    /// In a process group of its own, which ends with it: the gateway and the bystanders are in it.
    pub(crate) fn start(&self) -> Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_natter-bench"));
        command.args(&self.arguments).arg("--json").arg(&self.result);
        Process::spawn_group("natter-bench", &mut command)
    }

    /// Runs it with a gateway of its own; the result.
    pub(crate) async fn result(self) -> Result<Value> {
        let this = self.on_own_gateway().await?;
        let (succeeded, errors) = ended(&this.start()?).await?;
        ensure!(succeeded, "{errors}");
        let text = std::fs::read_to_string(this.result)?;
        Ok(serde_json::from_str::<Value>(&text)?["result"].take())
    }

    /// Runs it with a gateway of its own; what it says on failing.
    pub(crate) async fn failure(self) -> Result<String> {
        failure(&self.on_own_gateway().await?.start()?).await
    }

    async fn on_own_gateway(self) -> Result<Self> {
        let gateway = tools::gateway().await?;
        let this = self.with("--workers 1 --gateway");
        Ok(this.with(&gateway.to_string_lossy()))
    }
}

/// Waits until it has failed; what it says.
pub(crate) async fn failure(process: &Process) -> Result<String> {
    let (succeeded, errors) = ended(process).await?;
    ensure!(!succeeded && errors.contains("natter-bench: "), "{errors}");
    Ok(errors)
}

/// Whether it succeeded, and what it said on standard error.
async fn ended(process: &Process) -> Result<(bool, String)> {
    let status = process.wait_exit(LIMIT).await?;
    Ok((status.success(), process.stderr().all().join("\n")))
}
