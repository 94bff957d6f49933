//! The table of docs/migration.md.

use super::options::{Fate, RULES, Rule};

const BEGIN: &str = "<!-- begin: natter-gateway migration-table -->\n";
const END: &str = "<!-- end: natter-gateway migration-table -->";

/// The document with a fresh table between its two marks; `None` without the marks.
pub fn rewrite_table(document: &str) -> Option<String> {
    let (head, rest) = document.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{}\n{END}{tail}", table()))
}

fn table() -> String {
    let head = "| Centrifugo | Natter | what differs and why |\n|---|---|---|\n".to_owned();
    RULES.iter().map(row).fold(head, |table, row| table + &row)
}

fn row(rule: &Rule) -> String {
    let here = match rule.fate {
        Fate::Needless => "not needed".to_owned(),
        Fate::Fixed(same) => format!("always `{same}`"),
        Fate::Missing => "–".to_owned(),
        Fate::Copied(_) | Fate::Weighed => format!("`{}`", rule.target),
    };
    format!("| `{}` | {here} | {} |\n", rule.option, rule.note)
}
