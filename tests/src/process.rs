//! A child process that lives no longer than the test that owns it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::lines::Lines;
use crate::wait::eventually;

/// A running (or ended) child with its output; dropping it kills it.
pub struct Process {
    name: String,
    pid: Pid,
    group: bool,
    ended: AtomicBool,
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    /// Starts `command` in the process group of the test, so that Ctrl-C in a terminal ends both.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        Self::start(name, command, false)
    }

    /// Starts `command` as the leader of a process group of its own; what it started itself (a browser) ends with it.
    pub fn spawn_group(name: &str, command: &mut Command) -> Result<Self> {
        Self::start(name, command.process_group(0), true)
    }

    fn start(name: &str, command: &mut Command, group: bool) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let copy = Arc::new(Mutex::new(artifact(name)?));
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name} ({command:?})"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the child has no stdout")?;
        let stderr = child.stderr.take().context("the child has no stderr")?;
        Ok(Self {
            name: name.to_owned(),
            pid: Pid::from_child(&child),
            group,
            ended: AtomicBool::new(false),
            child: Mutex::new(child),
            stdin: Mutex::new(stdin),
            stdout: Lines::read(stdout, "stdout", Arc::clone(&copy))?,
            stderr: Lines::read(stderr, "stderr", copy)?,
        })
    }

    /// The name given at the start, for error texts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> &Lines {
        &self.stdout
    }

    /// Standard error so far.
    pub fn stderr(&self) -> &Lines {
        &self.stderr
    }

    /// Writes one line to the child's standard input.
    pub fn send_line(&self, line: &str) -> Result<()> {
        let mut stdin = self.stdin.lock();
        let stdin = stdin
            .as_mut()
            .with_context(|| format!("the standard input of {} is closed", self.name))?;
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .with_context(|| format!("cannot write to {}", self.name))
    }

    /// Closes the child's standard input.
    pub fn close_stdin(&self) {
        self.stdin.lock().take();
    }

    /// Sends a signal; a child that has ended already is left alone, its id may belong to another by now.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child.lock();
        if self.look(&mut child)?.is_some() {
            return Ok(());
        }
        kill_process(self.pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// How the child ended, or nothing while it runs.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        self.look(&mut self.child.lock())
    }

    /// Reaps the child if it has ended, and then ends what is left of its group: any later, the group's id could
    /// belong to others.
    fn look(&self, child: &mut Child) -> Result<Option<ExitStatus>> {
        let status = child
            .try_wait()
            .with_context(|| format!("cannot look at {}", self.name))?;
        if status.is_some() && !self.ended.swap(true, Ordering::Relaxed) && self.group {
            // An error says that the group is empty.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        Ok(status)
    }

    /// Waits until the child has ended and all of its output is read.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        let status = eventually(&what, limit, async || self.exited().transpose()).await??;
        self.stdout.wait_end(limit).await?;
        self.stderr.wait_end(limit).await?;
        Ok(status)
    }

    /// Kills (SIGKILL) and reaps the child, and its group if it leads one.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let mut child = self.child.lock();
        child
            .wait()
            .with_context(|| format!("cannot reap {}", self.name))?;
        self.look(&mut child).map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a child that cannot be killed, and a panic here would hide the test's own error.
        let _ = self.kill();
    }
}

/// A fresh file `tests/artifacts/<suite>/<test>/<name>-<n>.log`.
///
/// It is written always, not on failure only: a test that fails by `?` has dropped its servers before anything can
/// tell that it failed. Names repeat from run to run, so the directory holds the last run and does not grow.
fn artifact(name: &str) -> Result<File> {
    let path = next_artifact(name);
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    File::create(&path).with_context(|| format!("cannot create {}", path.display()))
}

fn next_artifact(name: &str) -> PathBuf {
    static COUNTS: LazyLock<Mutex<HashMap<PathBuf, u32>>> = LazyLock::new(Mutex::default);
    let stem = artifacts().join(name);
    let mut counts = COUNTS.lock();
    let count = counts.entry(stem.clone()).or_default();
    *count += 1;
    stem.with_file_name(format!("{name}-{count}.log"))
}

/// The directory of the running test: `tests/artifacts/<suite>/<test>`; screenshots belong there too.
pub fn artifacts() -> PathBuf {
    let suite = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let suite = suite.unwrap_or_else(|| "unknown".to_owned());
    // Cargo appends a hash to the name of a test binary.
    let suite = suite.rsplit_once('-').map_or(suite.as_str(), |(suite, _)| suite);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed").replace("::", ".");
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("artifacts")
        .join(suite)
        .join(test)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn speaks_by_lines_and_reports_the_exit() {
        let script = "read line; echo got $line; echo oops >&2; exit 3";
        let process = Process::spawn("shell", Command::new("sh").args(["-c", script])).unwrap();
        process.send_line("hello").unwrap();
        let status = process.wait_exit(LIMIT).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.stdout().all(), ["got hello"]);
        assert_eq!(process.stderr().all(), ["oops"]);
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_output() {
        let process = Process::spawn("shell", Command::new("sh").args(["-c", "echo last words"])).unwrap();
        let error = process
            .stdout()
            .wait(0, LIMIT, |line| line.contains("never").then_some(()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("last words"), "{error}");
    }

    #[tokio::test]
    async fn a_group_ends_with_its_leader() {
        let script = "sleep 600 & echo $!; wait";
        let process = Process::spawn_group("shell", Command::new("sh").args(["-c", script])).unwrap();
        let (_, grandchild) = process
            .stdout()
            .wait(0, LIMIT, |line| line.parse::<u32>().ok())
            .await
            .unwrap();
        drop(process);
        let status = format!("/proc/{grandchild}/stat");
        let gone = async || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        eventually("the grandchild is gone", LIMIT, gone).await.unwrap();
    }
}
