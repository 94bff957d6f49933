//! One cell: the load tool as a process of its own, which starts a server of its own.

use std::{
    env,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::report::{Report, SCHEMA};

/// A search of a slow server takes two minutes.
const LIMIT: Duration = Duration::from_mins(15);
const POLL: Duration = Duration::from_millis(50);

/// For the load tool to end what it started.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The load tool. Dropping it ends it and what it started: gently first, so that folders of NATS are removed.
struct Tool(Child);

impl Drop for Tool {
    fn drop(&mut self) {
        let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        let limit = Instant::now() + END_LIMIT;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < limit {
            // Fails when it ends just now.
            let _ = kill_process(pid, Signal::TERM);
            thread::sleep(POLL);
        }
        // Fails when all have ended. So soon after its leader the group's id belongs to no others.
        let _ = kill_process_group(pid, Signal::KILL);
        // Fails when it was waited for already.
        let _ = self.0.wait();
    }
}

/// An error is what the load tool said last.
pub(super) async fn measure(arguments: &[String], folder: &Path) -> anyhow::Result<Report<Value>> {
    let (json, log) = (folder.join("result.json"), folder.join("log"));
    // The one before it left its own.
    let _ = fs::remove_file(&json);
    let mut command = Command::new(env::current_exe()?);
    command
        .args(arguments)
        .arg("--json")
        .arg(&json)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?);
    let mut tool = Tool(command.spawn().context("cannot start the load tool")?);
    let status = wait(&mut tool.0).await?;
    if !status.success() {
        let log = fs::read_to_string(&log)?;
        bail!("{}", reason(&log));
    }
    let report: Report<Value> = serde_json::from_slice(&fs::read(&json)?)?;
    ensure!(report.schema == SCHEMA, "the result has schema {}", report.schema);
    Ok(report)
}

async fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let limit = Instant::now() + LIMIT;
    while Instant::now() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        sleep(POLL).await;
    }
    bail!("took longer than {LIMIT:?}")
}

/// What the load tool said about its failure: the last line under its own name, an error of its command line, or its last word.
fn reason(log: &str) -> &str {
    let own = log
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("natter-bench: "));
    let usage = || log.lines().find(|line| line.starts_with("error: "));
    let last = || log.lines().rfind(|line| !line.is_empty());
    own.or_else(usage)
        .or_else(last)
        .unwrap_or("the load tool ended without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_found() {
        assert_eq!(
            reason("opening\nnatter-bench: no route\ngateway: bye\n"),
            "no route"
        );
        assert_eq!(
            reason("error: no such server\n\nFor more, try '--help'.\n"),
            "error: no such server"
        );
        assert_eq!(reason("it broke\n\n"), "it broke");
        assert_eq!(reason(""), "the load tool ended without a word");
    }
}
