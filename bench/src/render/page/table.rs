//! The table of one row.

use std::fmt::Write;

use super::super::summary::{RowSummary, ServerSummary, Spread};
use crate::compare::{
    figure::{Figure, number},
    rows::{Kind, Row},
    servers,
};

enum Column {
    Figure(Figure),
    /// Of a figure to that of another server.
    Ratio(Figure, &'static str),
    /// What ended a search.
    Limit,
}

impl Column {
    fn all(kind: Kind) -> Vec<Self> {
        let mut columns = Vec::new();
        for figure in kind.figures() {
            columns.push(Self::Figure(*figure));
            if Some(*figure) == kind.leading() {
                columns.extend(
                    kind.references()
                        .iter()
                        .map(|server| Self::Ratio(*figure, server)),
                );
            }
        }
        columns.push(Self::Limit);
        columns
    }

    fn title(&self) -> String {
        match self {
            Self::Figure(figure) => figure.title().to_owned(),
            Self::Ratio(_, server) => format!("× {}", servers::title(server)),
            Self::Limit => "what limited the next step".to_owned(),
        }
    }

    fn value(&self, server: &ServerSummary) -> Option<String> {
        match self {
            Self::Figure(figure) => server.figures.get(figure).map(|spread| spread_text(*spread)),
            // A server is once itself.
            Self::Ratio(_, reference) if *reference == server.server => Some("1".to_owned()),
            Self::Ratio(figure, reference) => Some(format!("{:.2}", server.ratio(*figure, reference)?)),
            Self::Limit => server.steps.iter().find_map(|step| step.limit.clone()),
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

/// With its heading and its command. A row without figures has other tables.
pub(super) fn text(row: &Row, results: &RowSummary) -> String {
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
    let mut text = format!("\n### {heading}\n\n```sh\njust bench {}\n```\n", command(results));
    if columns.is_empty() {
        return text;
    }
    text += "\n| server |";
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
