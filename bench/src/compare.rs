//! All servers at all rows of work, in one run: each cell is a process of the load tool and a server of its own, started for
//! it and ended with it. Every server runs as it comes, others as their documents recommend; ours with one worker, as most of the others have
//! one thread, and the client needs a core for itself.
//!
//! The client shares the machine with the server, so a cell waits until nothing else runs, is measured again, once, when
//! something did, and says so in its record. A cell that fails is recorded with its error, and the rest goes on.

mod cell;
pub mod figure;
pub mod goal;
pub mod plan;
mod progress;
mod quiet;
pub mod record;
pub mod rows;
pub mod servers;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use tokio::time::Instant;

use self::{
    figure::{Figure, measured, number},
    plan::Cell,
    progress::Progress,
    record::{Outcome, Record, Records},
    rows::{ROWS, Row},
    servers::SERVERS,
};
use crate::usage::QUIET_CORES;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the results to this file, one cell a line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Continue what is in the file
    #[arg(long)]
    resume: bool,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Rows of work [default: all]
    #[arg(long, value_delimiter = ',', hide_possible_values = true, value_parser = row_names())]
    rows: Vec<String>,
    /// Servers [default: all]
    #[arg(long, value_delimiter = ',', hide_possible_values = true, value_parser = server_names())]
    servers: Vec<String>,
    /// Time of each measurement [default: that of the scenario]
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
    /// How long a cell waits for a quiet machine
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    quiet_limit: u32,
}

fn row_names() -> PossibleValuesParser {
    PossibleValuesParser::new(ROWS.iter().map(|row| row.name))
}

fn server_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SERVERS.iter().map(|server| server.name))
}

impl Args {
    fn cells(&self) -> Vec<Cell> {
        let is_chosen = |row: &&Row| self.rows.is_empty() || self.rows.iter().any(|name| name == row.name);
        let rows: Vec<_> = ROWS.iter().filter(is_chosen).collect();
        let is_chosen =
            |name: &&str| self.servers.is_empty() || self.servers.iter().any(|server| server == name);
        let servers = SERVERS.iter().map(|server| server.name).filter(is_chosen);
        let servers: Vec<_> = servers.map(str::to_owned).collect();
        plan::cells(self.runs, &rows, &servers, self.duration)
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let cells = args.cells();
    let total = cells.len();
    let (mut file, records) = Records::open(&args.out, args.resume)?;
    let left = plan::left(cells, &records)?;
    let folder = tempfile::tempdir().context("cannot make a folder for results")?;
    let quiet_limit = Duration::from_secs(args.quiet_limit.into());
    let mut progress = Progress::default();
    let mut failed = 0;
    eprintln!(
        "{} of {total} cells to measure, about {}",
        left.len(),
        progress.left(&left)
    );
    for (place, cell) in left.iter().enumerate() {
        let began = Instant::now();
        let record = measure(cell, quiet_limit, folder.path()).await?;
        file.append(&record)?;
        failed += usize::from(record.report().is_none());
        progress.took(&cell.row, began.elapsed());
        eprintln!(
            "[{}/{total}] {}; {} left",
            total - left.len() + place + 1,
            line(&record),
            progress.left(&left[place + 1..])
        );
    }
    if failed > 0 {
        eprintln!("warning: {failed} cells failed; --resume measures them again");
    }
    Ok(())
}

/// Measures a cell, and once again when the machine was not quiet: the quieter result counts.
async fn measure(cell: &Cell, quiet_limit: Duration, folder: &Path) -> anyhow::Result<Record> {
    let mut best: Option<Record> = None;
    for is_repeated in [false, true] {
        let busy_before = quiet::wait(quiet_limit).await?;
        let outcome = match cell::measure(&cell.arguments, folder).await {
            Ok(report) => Outcome::Report(Box::new(report)),
            Err(error) => Outcome::Error(format!("{error:#}")),
        };
        let mut record = Record {
            cell: cell.clone(),
            busy_before,
            is_repeated,
            is_disturbed: false,
            outcome,
        };
        record.is_disturbed = others(&record) > QUIET_CORES;
        let is_better = best.as_ref().is_none_or(|best| others(&record) < others(best));
        if is_better && (best.is_none() || record.report().is_some()) {
            best = Some(record);
        } else if let Some(best) = &mut best {
            best.is_repeated = is_repeated;
        }
        if best.as_ref().is_some_and(|best| !best.is_disturbed) {
            break;
        }
    }
    best.context("nothing was measured")
}

/// Cores that other processes used: while it was measured, or just before it failed.
fn others(record: &Record) -> f64 {
    let during = record.report().and_then(|report| {
        // Of a flood, what is beside its own two processes.
        let result = &report.result;
        let whole = result.get("others_cores").and_then(Value::as_f64);
        whole.or_else(|| measured(result).get("others_cores")?.as_f64())
    });
    during.unwrap_or(record.busy_before)
}

fn line(record: &Record) -> String {
    let Cell { run, row, server, .. } = &record.cell;
    let said = match &record.outcome {
        Outcome::Error(error) => format!("failed: {error}"),
        Outcome::Report(report) => {
            let kind = rows::named(row).map(|row| row.kind);
            let leading = kind.and_then(rows::Kind::leading);
            let figures = leading.into_iter().chain([Figure::P99]).filter_map(|figure| {
                let value = figure.of(&report.result)?;
                Some(format!("{} {}", number(value), figure.title()))
            });
            figures.collect::<Vec<_>>().join("; ")
        }
    };
    let mut line = format!("run {run}, {row}, {server}: {said}");
    if record.is_disturbed {
        line += "; the machine was not quiet";
    }
    if record.client_was_limit() {
        line += "; the client was the limit";
    }
    line
}

#[cfg(test)]
mod tests;
