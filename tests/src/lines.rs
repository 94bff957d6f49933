//! What a child process has printed, line by line, and bounded waits on it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Lines shown in an error: enough for a cause, few enough to read.
const TAIL: usize = 20;

/// One output stream of a child; clones share it.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
}

struct Shared {
    lines: Mutex<Vec<String>>,
    /// Sent after every line, true with the end.
    ended: watch::Sender<bool>,
}

impl Lines {
    /// Reads `stream` on a thread of its own, so that the child never blocks on a full pipe while the test is busy, and
    /// copies every line to `copy`.
    pub(crate) fn read(
        stream: impl Read + Send + 'static,
        label: &'static str,
        copy: Arc<Mutex<File>>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            ended: watch::Sender::new(false),
        });
        let lines = Self {
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new()
            .name(label.to_owned())
            .spawn(move || {
                collect(stream, label, &shared, &copy);
                shared.ended.send_replace(true);
            })
            .context("cannot start the thread that reads a child's output")?;
        Ok(lines)
    }

    /// Every line so far.
    pub fn all(&self) -> Vec<String> {
        self.shared.lines.lock().clone()
    }

    /// The number of lines so far.
    pub fn count(&self) -> usize {
        self.shared.lines.lock().len()
    }

    /// The last lines, for error texts.
    pub fn tail(&self) -> String {
        let lines = self.shared.lines.lock();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Waits for a line at or after index `from` of which `pick` makes a value; gives it with the line's index.
    ///
    /// Fails when the stream ends or `limit` passes without one.
    pub async fn wait<T>(
        &self,
        from: usize,
        limit: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<(usize, T)> {
        let deadline = Instant::now() + limit;
        let mut changes = self.shared.ended.subscribe();
        let mut next = from;
        loop {
            // Read before the lines are: lines that come with the end are looked at once more.
            let ended = *changes.borrow_and_update();
            {
                let lines = self.shared.lines.lock();
                while let Some(line) = lines.get(next) {
                    if let Some(value) = pick(line) {
                        return Ok((next, value));
                    }
                    next += 1;
                }
            }
            if ended {
                bail!(
                    "the output ended without the awaited line; it ends with:\n{}",
                    self.tail()
                );
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                bail!(
                    "no such line within {limit:?}; the output ends with:\n{}",
                    self.tail()
                );
            }
        }
    }

    /// Waits until the child has closed the stream.
    pub async fn wait_end(&self, limit: Duration) -> Result<()> {
        let mut changes = self.shared.ended.subscribe();
        let ended = tokio::time::timeout(limit, changes.wait_for(|ended| *ended)).await;
        ended
            .with_context(|| format!("the output was still open after {limit:?}"))?
            .map(drop)
            .context("reader is gone")
    }
}

/// Takes lines until the stream ends; bytes that are not UTF-8 are shown as the replacement character.
fn collect(stream: impl Read, label: &str, shared: &Shared, copy: &Mutex<File>) {
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut bytes) {
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']).to_owned();
        // The copy is for people; a full disk must not fail the test.
        let _ = writeln!(copy.lock(), "{label}: {line}");
        shared.lines.lock().push(line);
        shared.ended.send_replace(false);
        bytes.clear();
    }
}
