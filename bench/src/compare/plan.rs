//! Which cells are measured, and in which order.
//!
//! Every server does the first run of a row before any does the second, so that a machine that becomes slower does so for
//! all of them, and the servers of one row follow each other, so that ratios are of the same minutes. Each run begins with
//! another server.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{record::Record, rows::Row, servers};

/// One server at one row of work in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// From 1.
    pub run: u32,
    pub row: String,
    pub server: String,
    /// Of the load tool, without the file.
    pub arguments: Vec<String>,
}

impl Cell {
    /// The same place in the table, whatever its arguments.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.run, &self.row, &self.server) == (other.run, &other.row, &other.server)
    }
}

/// `duration` replaces the time of each measurement.
pub fn cells(runs: u32, rows: &[&Row], servers: &[String], duration: Option<u32>) -> Vec<Cell> {
    let mut cells = Vec::new();
    for run in 1..=runs {
        for row in rows {
            let mut servers: Vec<_> = servers
                .iter()
                .filter(|server| row.servers.has(server))
                .cloned()
                .collect();
            let first = run as usize % servers.len().max(1);
            servers.rotate_left(first);
            cells.extend(servers.into_iter().map(|server| Cell {
                run,
                row: row.name.to_owned(),
                arguments: arguments(row, &server, duration),
                server,
            }));
        }
    }
    cells
}

fn arguments(row: &Row, server: &str, duration: Option<u32>) -> Vec<String> {
    let of_server = servers::named(server).map_or(&[][..], |server| server.arguments);
    let both = row.arguments.iter().chain(of_server);
    let mut arguments: Vec<String> = both.map(ToString::to_string).collect();
    if let Some(duration) = duration.filter(|_| row.kind.has_duration()) {
        arguments.extend(["--duration".to_owned(), duration.to_string()]);
    }
    arguments
}

/// The cells that are not there yet; those that failed are measured again.
pub fn left(cells: Vec<Cell>, records: &[Record]) -> anyhow::Result<Vec<Cell>> {
    let mut left = Vec::new();
    for cell in cells {
        match records.iter().find(|record| record.cell.is_same(&cell)) {
            Some(record) if record.report().is_some() => ensure!(
                record.cell.arguments == cell.arguments,
                "run {} of {} by {} was measured with other arguments: {}",
                cell.run,
                cell.row,
                cell.server,
                record.cell.arguments.join(" ")
            ),
            _ => left.push(cell),
        }
    }
    Ok(left)
}
