//! Results: a table for people on stdout, JSON for machines in a file.

use std::{env, fs, path::Path, thread};

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

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

/// Writes the result with what is needed to judge it.
pub fn write(file: Option<&Path>, result: &impl Serialize) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "arguments": env::args().skip(1).collect::<Vec<_>>(),
        "machine": {
            "cores": thread::available_parallelism()?.get(),
            "kernel": rustix::system::uname().release().to_string_lossy(),
        },
        "result": result,
    });
    fs::write(file, format!("{report:#}\n")).with_context(|| format!("cannot write {}", file.display()))
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
}
