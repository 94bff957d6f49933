//! A gateway's log: one JSON object a line on standard error.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Gateway;

/// One log line, also when it is not JSON (a panic prints plain text).
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The line as printed.
    pub text: String,
    json: Value,
}

impl LogLine {
    /// Reads a line.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            json: serde_json::from_str(text).unwrap_or_default(),
        }
    }

    /// The event's message, or nothing.
    pub fn message(&self) -> &str {
        self.field("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`, or nothing.
    pub fn level(&self) -> &str {
        self.json["level"].as_str().unwrap_or_default()
    }

    /// The module that logged.
    pub fn target(&self) -> &str {
        self.json["target"].as_str().unwrap_or_default()
    }

    /// A field of the event, else of the innermost span that has it, else of the line itself.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let spans = self.json["spans"].as_array().into_iter().flatten().rev();
        let places = std::iter::once(&self.json["fields"])
            .chain([&self.json["span"]])
            .chain(spans);
        places.chain([&self.json]).find_map(|place| place.get(name))
    }
}

impl Gateway {
    /// The log of the running (or last) process so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.process()
            .stderr()
            .all()
            .iter()
            .map(|line| LogLine::new(line))
            .collect()
    }

    /// Waits for a line that fits; lines already logged count too.
    pub async fn wait_log(&self, fits: impl Fn(&LogLine) -> bool, limit: Duration) -> Result<LogLine> {
        self.wait_log_after(0, fits, limit).await
    }

    /// As [`wait_log`](Self::wait_log), skipping the first `skip` lines: take `logs().len()` before an action.
    pub async fn wait_log_after(
        &self,
        skip: usize,
        fits: impl Fn(&LogLine) -> bool,
        limit: Duration,
    ) -> Result<LogLine> {
        let process = self.process();
        let found = process
            .stderr()
            .wait(skip, limit, |line| {
                Some(LogLine::new(line)).filter(|line| fits(line))
            })
            .await;
        found
            .map(|(_, line)| line)
            .with_context(|| format!("the log of {}", process.name()))
    }
}
