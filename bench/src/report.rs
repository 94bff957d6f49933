//! Results: a table for people on stdout, JSON for machines in a file.
//!
//! Every scenario writes the same [`Report`] around figures of its own (`fanout::…::Measured`, `density::Density` and so on,
//! whose fields are documented where they are defined). Times are in milliseconds or in seconds as the field's name says;
//! a latency is its [`crate::tally::Quantiles`], the whole histogram included. The envelope has [`SCHEMA`] as its version:
//!
//! ```json
//! {
//!   "schema": 1,
//!   "scenario": "fanout",
//!   "arguments": ["fanout", "--members", "1000", "--server", "bun", "--json", "result.json"],
//!   "date": "2026-11-21T22:00:00Z",
//!   "version": "0.1.0",
//!   "machine": { "cpu": "…", "cores": 2, "memory": 8318349312, "system": "Linux", "kernel": "6.12.8" },
//!   "result": { "cpu_seconds_per_million": 5.1, "latency": { "p50": 4.5, "histogram": "HISTFAAA…" } }
//! }
//! ```

use std::{env, fs, path::Path, thread, time::SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Rises when a reader of older results would misread newer ones.
pub const SCHEMA: u32 = 1;

/// A result with what is needed to judge it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report<R> {
    pub schema: u32,
    /// The subcommand.
    pub scenario: String,
    /// The command line, without the program.
    pub arguments: Vec<String>,
    /// When it ended, UTC by RFC 3339.
    pub date: String,
    /// Of the load tool.
    pub version: String,
    pub machine: Machine,
    pub result: R,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    pub cores: usize,
    /// In bytes.
    pub memory: u64,
    /// Name and release of the kernel.
    pub system: String,
    pub kernel: String,
}

impl Machine {
    pub fn this() -> anyhow::Result<Self> {
        let name = rustix::system::uname();
        let processors = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let kib = field(&memory, "MemTotal").and_then(|size| size.strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(Self {
            // Some architectures do not tell a model.
            cpu: field(&processors, "model name").unwrap_or("unknown").to_owned(),
            cores: thread::available_parallelism()?.get(),
            memory: kib.context("meminfo has no MemTotal")? * 1024,
            system: name.sysname().to_string_lossy().into_owned(),
            kernel: name.release().to_string_lossy().into_owned(),
        })
    }
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    Some(pairs.find(|(key, _)| key.trim() == name)?.1.trim())
}

/// Now, UTC by RFC 3339.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Writes the report of a scenario, if somebody wants it.
pub fn write(file: Option<&Path>, result: &impl Serialize) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let arguments: Vec<String> = env::args().skip(1).collect();
    let report = Report {
        schema: SCHEMA,
        scenario: arguments.first().cloned().unwrap_or_default(),
        arguments,
        date: date(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::this()?,
        result,
    };
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(file, format!("{text}\n")).with_context(|| format!("cannot write {}", file.display()))
}

/// Rows of a name and a value.
#[derive(Debug, Default)]
pub struct Table(Vec<(&'static str, String)>);

impl Table {
    pub fn row(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    pub fn print(&self) {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            println!("{name:width$}  {value}");
        }
    }
}

/// A whole number with its thousands apart.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures of a report are positive and small"
)]
pub fn grouped(value: f64) -> String {
    let digits = (value.round() as u64).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (value, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn fields_of_the_kernel_are_found() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nmodel\t\t: 7\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2.50GHz"));
        assert_eq!(field(text, "flags"), None);
        assert!(Machine::this().unwrap().memory > 1 << 20);
    }
}
