//! What a comparison leaves behind: a file with one cell a line, in the order in which they were measured, so that it can
//! be stopped at any time and continued.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    figure::client_was_limit,
    plan::Cell,
    rows::{self, Kind},
};
use crate::report::Report;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub cell: Cell,
    /// Cores that other processes used when it began; over the bound when the machine did not become quiet.
    pub busy_before: f64,
    /// It was measured twice, because the machine was not quiet the first time.
    pub is_repeated: bool,
    /// The machine was not quiet while this was measured.
    pub is_disturbed: bool,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Report(Box<Report<Value>>),
    /// Why there is no result.
    Error(String),
}

impl Record {
    pub fn report(&self) -> Option<&Report<Value>> {
        match &self.outcome {
            Outcome::Report(report) => Some(report),
            Outcome::Error(_) => None,
        }
    }

    /// Whether the result says more about the client than about the server.
    pub fn client_was_limit(&self) -> bool {
        // How fast idle connections come is no figure of theirs.
        let is_idle = rows::named(&self.cell.row).is_some_and(|row| row.kind == Kind::Idle);
        !is_idle
            && self
                .report()
                .is_some_and(|report| client_was_limit(&report.result))
    }
}

/// The file that records are appended to.
#[derive(Debug)]
pub struct Records(File);

impl Records {
    /// Opens the file and returns what is in it. Without `resume` it must not be there yet.
    pub fn open(path: &Path, resume: bool) -> anyhow::Result<(Self, Vec<Record>)> {
        let there = path.exists();
        ensure!(
            resume || !there,
            "{} exists already: continue it with --resume, or remove it",
            path.display()
        );
        let records = if there { read(path)? } else { Vec::new() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        if there && !fs::read(path)?.ends_with(b"\n") {
            // Stopped in the middle of a line: the rest of it is not read.
            file.write_all(b"\n")?;
        }
        Ok((Self(file), records))
    }

    pub fn append(&mut self, record: &Record) -> anyhow::Result<()> {
        let line = serde_json::to_string(record)?;
        self.0
            .write_all(format!("{line}\n").as_bytes())
            .context("cannot write the results")
    }
}

/// Reads a file of records. Where a cell is there twice, the later one counts. The last line may be incomplete, and so may
/// any line after which the comparison was continued.
pub fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&text)?)
}

/// The records of a file's text.
pub fn parse(text: &str) -> serde_json::Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let record: Record = match serde_json::from_str(line) {
            Err(error) if error.is_eof() => continue,
            record => record?,
        };
        records.retain(|earlier| !earlier.cell.is_same(&record.cell));
        records.push(record);
    }
    Ok(records)
}
