//! The generated part of the page.

use std::fmt::Write;

use super::{
    plots::Plot,
    summary::{About, RowSummary, ServerSummary, Spread, Summary},
};
use crate::{
    compare::{
        figure::{Figure, number},
        goal::{Goal, Verdict},
        rows::{self, Kind, Row},
        servers::{self, SERVERS},
    },
    report::grouped,
};

/// `images` is the folder of the plots as seen from the page.
pub(super) fn text(summary: &Summary, plots: &[Plot], images: &str) -> String {
    let Some(about) = &summary.about else {
        return "No comparison has been measured yet.\n".to_owned();
    };
    let mut page = machine(about);
    page += &versions(summary);
    page += &goals(summary);
    for plot in plots {
        // A string takes everything.
        let _ = write!(page, "\n![{}]({images}/{})\n", plot.title, plot.file);
    }
    for results in &summary.rows {
        if let Some(row) = rows::named(&results.row) {
            page += &table(row, results);
        }
    }
    page += &notes(summary);
    page
}

fn machine(about: &About) -> String {
    let About {
        version,
        from,
        to,
        runs,
        machine,
    } = about;
    #[expect(clippy::cast_precision_loss, reason = "memory of a machine")]
    let memory = machine.memory as f64 / f64::from(1 << 30);
    let minute = |date: &str| date.get(..16).unwrap_or(date).replace('T', " ");
    format!(
        "Measured from {} to {} UTC by `natter-bench` {version}, medians of {runs} runs, on {}, {} cores, {memory:.1} GiB of memory, \
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

fn goals(summary: &Summary) -> String {
    let mut text = "\n### Goals\n\n| work | server | figure | goal | measured | ratio | |\n|---|---|---|---|---|---|---|\n".to_owned();
    for results in &summary.rows {
        let Some(row) = rows::named(&results.row) else {
            continue;
        };
        for goal in row.goals {
            if let Some(line) = verdict(row, results, goal) {
                text += &line;
            }
        }
    }
    text
}

/// `None` when the server was not measured.
fn verdict(row: &Row, results: &RowSummary, goal: &Goal) -> Option<String> {
    let server = results.server(goal.server)?;
    let measured = server.median(goal.figure);
    let reference = goal.bound.reference();
    let ratio = reference.and_then(|reference| server.ratio(goal.figure, reference));
    let judged = if reference.is_some() { ratio } else { measured };
    let verdict = match judged.map(|value| goal.bound.judge(value)) {
        None => "not measured".to_owned(),
        Some(Verdict::Met) => "**met**".to_owned(),
        Some(Verdict::Missed(percent)) => format!("missed by {percent:.0} %"),
    };
    Some(format!(
        "| {} | {} | {} | {} | {} | {} | {verdict} |\n",
        row.title,
        servers::title(goal.server),
        goal.figure.title(),
        goal.bound.text(),
        measured.map_or_else(|| "–".to_owned(), number),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ))
}

/// A figure, or its ratio to that of another server.
enum Column {
    Figure(Figure),
    Ratio(Figure, &'static str),
}

impl Column {
    fn all(kind: Kind) -> Vec<Self> {
        let ratio = kind.leading();
        let references = if kind == Kind::Idle {
            &["bun"][..]
        } else {
            &["floor", "bun"]
        };
        let mut columns: Vec<_> = kind
            .figures()
            .iter()
            .map(|figure| Self::Figure(*figure))
            .collect();
        let place = kind
            .figures()
            .iter()
            .position(|figure| *figure == ratio)
            .unwrap_or(0)
            + 1;
        columns.splice(
            place..place,
            references.iter().map(|server| Self::Ratio(ratio, server)),
        );
        columns
    }

    fn title(&self) -> String {
        match self {
            Self::Figure(figure) => figure.title().to_owned(),
            Self::Ratio(_, server) => format!("× {}", servers::title(server)),
        }
    }

    fn value(&self, server: &ServerSummary) -> Option<String> {
        match self {
            Self::Figure(figure) => server.figures.get(figure).map(|spread| spread_text(*spread)),
            // A server is once itself.
            Self::Ratio(_, reference) if *reference == server.server => Some("1".to_owned()),
            Self::Ratio(figure, reference) => Some(format!("{:.2}", server.ratio(*figure, reference)?)),
        }
    }
}

fn spread_text(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    if min < max {
        format!("{} ({}–{})", number(median), number(min), number(max))
    } else {
        number(median)
    }
}

fn table(row: &Row, results: &RowSummary) -> String {
    let is_shown = |column: &Column| {
        results
            .servers
            .iter()
            .any(|server| column.value(server).is_some())
    };
    let columns: Vec<_> = Column::all(row.kind).into_iter().filter(is_shown).collect();
    let mut heading = row.title.to_owned();
    if let Some(first) = heading.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut text = format!(
        "\n### {heading}\n\n```sh\njust bench {}\n```\n\n| server |",
        command(results)
    );
    for column in &columns {
        let _ = write!(text, " {} |", column.title());
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(columns.len()));
    for server in results.servers.iter().filter(|server| server.runs > 0) {
        let _ = write!(text, "| {} |", servers::title(&server.server));
        for column in &columns {
            let _ = write!(text, " {} |", column.value(server).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// What was run, for any of the servers.
fn command(results: &RowSummary) -> String {
    let Some(first) = results.servers.first() else {
        return String::new();
    };
    let words = first
        .arguments
        .iter()
        .map(|word| if *word == first.server { "NAME" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn notes(summary: &Summary) -> String {
    let mut notes = Vec::new();
    for results in &summary.rows {
        let title = rows::named(&results.row).map_or(results.row.as_str(), |row| row.title);
        for server in &results.servers {
            let name = servers::title(&server.server);
            if !server.disturbed.is_empty() {
                let runs: Vec<_> = server.disturbed.iter().map(ToString::to_string).collect();
                notes.push(format!(
                    "- {title}, {name}: the machine was not quiet, twice, in run {}.",
                    runs.join(", ")
                ));
            }
            for failure in &server.failed {
                let error = failure.error.replace(['`', '\n'], " ");
                notes.push(format!(
                    "- {title}, {name}: run {} failed: `{error}`.",
                    failure.run
                ));
            }
        }
    }
    if notes.is_empty() {
        let cells: u32 = summary
            .rows
            .iter()
            .flat_map(|row| &row.servers)
            .map(|server| server.runs)
            .sum();
        return format!(
            "\nAll {} cells were measured on a quiet machine.\n",
            grouped(f64::from(cells))
        );
    }
    format!("\n### What was disturbed or failed\n\n{}\n", notes.join("\n"))
}
