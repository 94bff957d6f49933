//! The goals of every row, and whether they are met.

use super::super::summary::{RowSummary, Summary};
use crate::compare::{
    figure::number,
    goal::{Goal, Verdict},
    rows::{self, Row},
    servers,
};

pub(super) fn text(summary: &Summary) -> String {
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
