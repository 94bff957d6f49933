//! A script in another language that talks with its test by lines: the ground of [`crate::node`] and [`crate::python`].

use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde_json::Value;

use crate::lines::Lines;
use crate::process::Process;

/// A running script; dropping it kills it and what it started.
pub struct Script {
    process: Process,
    /// The first line of standard output that no `expect_*` has consumed.
    next: Mutex<usize>,
}

impl Script {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let process = Process::spawn_group(name, command)?;
        Ok(Self {
            process,
            next: Mutex::new(0),
        })
    }

    /// Sends one line to the script's standard input.
    pub fn send_line(&self, line: &str) -> Result<()> {
        self.process.send_line(line)
    }

    /// Closes the script's standard input, by which most scripts know that they are done.
    pub fn close_stdin(&self) {
        self.process.close_stdin();
    }

    /// Waits for a line of standard output that fits; it and everything before it is consumed.
    pub async fn expect_line(&self, fits: impl Fn(&str) -> bool, limit: Duration) -> Result<String> {
        self.expect(limit, |line| fits(line).then(|| line.to_owned()))
            .await
    }

    /// Waits for a line that is a JSON value and fits; it and everything before it is consumed.
    pub async fn expect_json(&self, fits: impl Fn(&Value) -> bool, limit: Duration) -> Result<Value> {
        self.expect(limit, |line| {
            serde_json::from_str(line).ok().filter(|value| fits(value))
        })
        .await
    }

    async fn expect<T>(&self, limit: Duration, pick: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let from = *self.next.lock();
        let found = self.process.stdout().wait(from, limit, pick).await;
        let (index, value) = found.with_context(|| {
            let errors = self.process.stderr().tail();
            format!(
                "script {}; its standard error ends with:\n{errors}",
                self.process.name()
            )
        })?;
        *self.next.lock() = index + 1;
        Ok(value)
    }

    /// Waits until the script ends by itself.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(limit).await
    }

    /// Waits until the script ends by itself; anything but success is an error with the script's output.
    pub async fn wait_success(&self, limit: Duration) -> Result<()> {
        let status = self.wait_exit(limit).await?;
        let (out, err) = (self.stdout().tail(), self.stderr().tail());
        anyhow::ensure!(
            status.success(),
            "script {} failed ({status})\n{out}\n{err}",
            self.process.name()
        );
        Ok(())
    }

    /// Everything printed to standard output so far.
    pub fn stdout(&self) -> &Lines {
        self.process.stdout()
    }

    /// Everything printed to standard error so far.
    pub fn stderr(&self) -> &Lines {
        self.process.stderr()
    }
}
