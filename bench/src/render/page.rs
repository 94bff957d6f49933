//! The generated part of the page.

mod goals;
mod growth;
mod table;

use std::{collections::BTreeMap, fmt::Write};

use super::{
    plots::Plot,
    summary::{About, ServerSummary, Summary},
};
use crate::{
    compare::{
        rows,
        servers::{self, SERVERS},
    },
    report::grouped,
};

/// `images` is the folder of the plots as seen from the page.
pub(super) fn text(summary: &Summary, plots: &[Plot], images: &str) -> String {
    let Some(about) = &summary.about else {
        return "No comparison has been measured yet.\n".to_owned();
    };
    let mut page = machine(about, summary);
    page += &versions(summary);
    page += &goals::text(summary);
    for plot in plots {
        // A string takes everything.
        let _ = write!(page, "\n![{}]({images}/{})\n", plot.title, plot.file);
    }
    for results in &summary.rows {
        if let Some(row) = rows::named(&results.row) {
            page += &table::text(row, results);
            page += &growth::text(results);
        }
    }
    page += &notes(summary);
    page
}

fn machine(about: &About, summary: &Summary) -> String {
    let About {
        version,
        from,
        to,
        runs,
        machine,
    } = about;
    #[expect(clippy::cast_precision_loss, reason = "memory of a machine")]
    let memory = machine.memory as f64 / f64::from(1 << 30);
    let mut servers = summary.rows.iter().flat_map(|row| &row.servers);
    let up_to = if servers.any(|server| server.runs > 0 && server.runs < *runs) {
        "up to "
    } else {
        ""
    };
    let minute = |date: &str| date.get(..16).unwrap_or(date).replace('T', " ");
    format!(
        "Measured from {} to {} UTC by `natter-bench` {version}, medians of {up_to}{runs} runs, on {}, {} cores, {memory:.1} GiB of memory, \
         {} {}. Spreads in brackets are the least and the most of the runs.\n",
        minute(from),
        minute(to),
        machine.cpu,
        machine.cores,
        machine.system,
        machine.kernel,
    )
}

fn versions(summary: &Summary) -> String {
    let mut text = "\n| server | version | how it is run |\n|---|---|---|\n".to_owned();
    for server in &SERVERS {
        let mut results = summary
            .rows
            .iter()
            .filter_map(|row| row.server(server.name))
            .peekable();
        if results.peek().is_none() {
            continue;
        }
        let version = results
            .map(|result| result.version.as_str())
            .find(|version| !version.is_empty());
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            server.title,
            version.unwrap_or("–"),
            server.about
        );
    }
    text
}

/// What makes some of the figures doubtful.
fn notes(summary: &Summary) -> String {
    let mut notes = Vec::new();
    for results in &summary.rows {
        let title = rows::named(&results.row).map_or(results.row.as_str(), |row| row.title);
        for server in &results.servers {
            let name = servers::title(&server.server);
            notes.extend(notes_of(server).map(|note| format!("- {title}, {name}: {note}.\n")));
        }
    }
    if notes.is_empty() {
        let servers = summary.rows.iter().flat_map(|row| &row.servers);
        let cells: u32 = servers.map(|server| server.runs).sum();
        let cells = grouped(f64::from(cells));
        return format!(
            "\nAll {cells} results were measured on a quiet machine, by a client that was not the limit.\n"
        );
    }
    format!(
        "\n### What was disturbed, limited by the client, or failed\n\n{}",
        notes.concat()
    )
}

fn notes_of(server: &ServerSummary) -> impl Iterator<Item = String> {
    let disturbed = (!server.disturbed.is_empty()).then(|| {
        format!(
            "the machine was not quiet, twice, in {}",
            runs_text(&server.disturbed)
        )
    });
    let limit = &server.client_was_limit;
    let limit = (!limit.is_empty()).then(|| format!("the client was the limit in {}", runs_text(limit)));
    let mut failed = BTreeMap::<_, Vec<u32>>::new();
    for failure in &server.failed {
        let error = failure.error.replace(['`', '\n'], " ");
        failed.entry(error).or_default().push(failure.run);
    }
    let failed = failed
        .into_iter()
        .map(|(error, runs)| format!("{} failed: `{error}`", runs_text(&runs)));
    disturbed.into_iter().chain(limit).chain(failed)
}

/// `run 2`, `runs 1, 2, 4`.
fn runs_text(runs: &[u32]) -> String {
    let plural = if runs.len() > 1 { "s" } else { "" };
    let runs: Vec<_> = runs.iter().map(ToString::to_string).collect();
    format!("run{plural} {}", runs.join(", "))
}
