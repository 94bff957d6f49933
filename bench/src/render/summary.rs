//! What is kept of a comparison: medians over its runs, spreads, ratios and curves. It is small enough to be committed,
//! and holds all that the page and its plots show.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::{
    curve,
    growth::{self, Growth},
    steps::{self, Step},
};
use crate::{
    compare::{
        figure::{Figure, measured, rounded},
        record::Record,
        rows::{self, ROWS, Row},
        servers::SERVERS,
    },
    report::Machine,
};

/// Digits that are kept; the page shows fewer.
const DIGITS: i32 = 5;
/// Servers by whose figures those of the others are divided.
const REFERENCES: [&str; 3] = ["floor", "bun", "natter"];

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `None` while nothing was measured.
    pub about: Option<About>,
    /// In the order of [`ROWS`].
    pub rows: Vec<RowSummary>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Of the load tool.
    pub version: String,
    /// Of the first and the last result, UTC by RFC 3339.
    pub from: String,
    pub to: String,
    pub runs: u32,
    pub machine: Machine,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowSummary {
    pub row: String,
    /// In the order of [`SERVERS`].
    pub servers: Vec<ServerSummary>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSummary {
    pub server: String,
    pub version: String,
    /// Of the load tool.
    pub arguments: Vec<String>,
    /// Runs that have a result.
    pub runs: u32,
    pub figures: BTreeMap<Figure, Spread>,
    /// By the server that was divided by: medians of the ratios that were taken in each run.
    pub ratios: BTreeMap<String, BTreeMap<Figure, f64>>,
    /// Milliseconds at each of [`curve::QUANTILES`], medians over the runs.
    pub latencies: Vec<f64>,
    /// Of the run whose sustained rate is the median.
    pub steps: Vec<Step>,
    pub growth: Vec<Growth>,
    /// Runs in which the machine was not quiet.
    pub disturbed: Vec<u32>,
    /// Runs in which the client was the limit; not kept of older comparisons, in none of which it was.
    #[serde(default)]
    pub client_was_limit: Vec<u32>,
    pub failed: Vec<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub run: u32,
    pub error: String,
}

impl Summary {
    pub fn of(records: &[Record]) -> anyhow::Result<Self> {
        let rows = ROWS.iter().map(|row| RowSummary::of(row, records));
        let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            about: About::of(records)?,
            rows: rows.into_iter().filter(|row| !row.servers.is_empty()).collect(),
        })
    }

    pub fn row(&self, name: &str) -> Option<&RowSummary> {
        self.rows.iter().find(|row| row.row == name)
    }
}

impl About {
    fn of(records: &[Record]) -> anyhow::Result<Option<Self>> {
        let reports = || records.iter().filter_map(Record::report);
        let Some(first) = reports().next() else {
            return Ok(None);
        };
        for report in reports() {
            ensure!(
                report.machine == first.machine,
                "results of several machines are no comparison"
            );
            ensure!(
                report.version == first.version,
                "results of several versions are no comparison"
            );
        }
        // RFC 3339 in UTC sorts as text.
        let dates = || reports().map(|report| report.date.clone());
        Ok(Some(Self {
            version: first.version.clone(),
            from: dates().min().unwrap_or_default(),
            to: dates().max().unwrap_or_default(),
            runs: records
                .iter()
                .map(|record| record.cell.run)
                .max()
                .unwrap_or_default(),
            machine: first.machine.clone(),
        }))
    }
}

impl RowSummary {
    fn of(row: &Row, records: &[Record]) -> anyhow::Result<Self> {
        let of_server = |server: &str| -> Vec<&Record> {
            let is_of = |record: &&Record| record.cell.row == row.name && record.cell.server == server;
            records.iter().filter(is_of).collect()
        };
        let references = REFERENCES.map(|server| (server, of_server(server)));
        let mut servers = Vec::new();
        for server in &SERVERS {
            let records = of_server(server.name);
            if let Some(first) = records.first() {
                let summary = ServerSummary::of(row, first, &records, &references);
                servers.push(summary.with_context(|| format!("{} of {}", row.name, server.name))?);
            }
        }
        Ok(Self {
            row: row.name.to_owned(),
            servers,
        })
    }

    pub fn server(&self, name: &str) -> Option<&ServerSummary> {
        self.servers.iter().find(|server| server.server == name)
    }
}

impl ServerSummary {
    fn of(
        row: &Row,
        first: &Record,
        records: &[&Record],
        references: &[(&str, Vec<&Record>)],
    ) -> anyhow::Result<Self> {
        let results: Vec<_> = records
            .iter()
            .filter_map(|record| Some(&record.report()?.result))
            .collect();
        let figures = row.kind.figures().iter().filter_map(|figure| {
            let values = results.iter().filter_map(|result| figure.of(result)).collect();
            Some((*figure, Spread::of(values)?))
        });
        let ratios = references
            .iter()
            .filter(|(server, _)| *server != first.cell.server);
        let ratios =
            ratios.map(|(server, others)| ((*server).to_owned(), ratios_of(row.kind, records, others)));
        let version = results.iter().rev().find_map(|result| {
            measured(result)
                .get("version")
                .or(result.get("version"))?
                .as_str()
        });
        Ok(Self {
            server: first.cell.server.clone(),
            version: version.unwrap_or_default().to_owned(),
            arguments: first.cell.arguments.clone(),
            runs: u32::try_from(results.len())?,
            figures: figures.collect(),
            ratios: ratios.filter(|(_, figures)| !figures.is_empty()).collect(),
            latencies: curve::median(&results)?,
            steps: steps::median_run(&results)?,
            growth: growth::median(&results)?,
            disturbed: runs_of(records, |record| record.is_disturbed),
            client_was_limit: runs_of(records, Record::client_was_limit),
            failed: records.iter().filter_map(|record| Failure::of(record)).collect(),
        })
    }

    /// The median of a figure.
    pub fn median(&self, figure: Figure) -> Option<f64> {
        Some(self.figures.get(&figure)?.median)
    }

    /// The median ratio of a figure to that of another server.
    pub fn ratio(&self, figure: Figure, reference: &str) -> Option<f64> {
        self.ratios.get(reference)?.get(&figure).copied()
    }
}

fn runs_of(records: &[&Record], is_of: fn(&Record) -> bool) -> Vec<u32> {
    let records = records.iter().filter(|record| is_of(record));
    records.map(|record| record.cell.run).collect()
}

impl Failure {
    fn of(record: &Record) -> Option<Self> {
        match &record.outcome {
            crate::compare::record::Outcome::Error(error) => Some(Self {
                run: record.cell.run,
                error: error.clone(),
            }),
            crate::compare::record::Outcome::Report(_) => None,
        }
    }
}

/// Of each run in which both have a result.
fn ratios_of(kind: rows::Kind, records: &[&Record], others: &[&Record]) -> BTreeMap<Figure, f64> {
    let ratio = |figure: Figure| {
        let ratios = records.iter().filter_map(|record| {
            let other = others.iter().find(|other| other.cell.run == record.cell.run)?;
            Some(figure.of(&record.report()?.result)? / figure.of(&other.report()?.result)?)
        });
        Some((figure, Spread::of(ratios.collect())?.median))
    };
    kind.figures()
        .iter()
        .filter_map(|figure| ratio(*figure))
        .collect()
}

impl Spread {
    /// `None` without values; of an even number the median is the mean of the middle two.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (low, high) = (
            values.get((values.len().max(1) - 1) / 2)?,
            values.get(values.len() / 2)?,
        );
        Some(Self {
            median: rounded(f64::midpoint(*low, *high), DIGITS),
            min: rounded(*values.first()?, DIGITS),
            max: rounded(*values.last()?, DIGITS),
        })
    }
}
