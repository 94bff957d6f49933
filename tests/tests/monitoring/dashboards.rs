//! The queries of the dashboards, as Grafana would send them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The dashboards about gateways; the operator has its own.
pub(crate) const OF_GATEWAYS: [&str; 5] = [
    "natter-overview",
    "natter-gateway",
    "natter-rooms",
    "natter-backends",
    "natter-bus",
];
pub(crate) const OF_OPERATOR: &str = "natter-operator";

/// One query and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) place: String,
    pub(crate) text: String,
}

/// What is chosen in the variables of a dashboard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) namespace: &'static str,
    pub(crate) job: &'static str,
}

impl Choice {
    /// `text` with values in place of variables. One that is not known stays, and Prometheus refuses the query.
    pub(crate) fn apply(self, text: &str) -> String {
        // Longer than the whole test, so that each event is still in the window.
        text.replace("$__rate_interval", "10m")
            .replace("$namespace", self.namespace)
            .replace("$job", self.job)
            .replace("$instance", ".*")
            .replace("$room_namespace", ".*")
            .replace("$name", ".*")
    }
}

/// What dashboards ask for and nobody counts yet.
pub(crate) fn awaited() -> Vec<&'static str> {
    let lines = include_str!("../../monitoring/awaited-families.txt").lines();
    let entries = lines.filter(|line| !line.starts_with('#'));
    entries
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

fn load(name: &str) -> Result<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/natter/monitoring/dashboards");
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn items<'a>(value: &'a Value, pointer: &str) -> Vec<&'a Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect()
}

fn texts(
    board: &str,
    kind: &str,
    found: impl Iterator<Item = (String, Option<String>)>,
) -> Result<Vec<Query>> {
    let queries = found.map(|(title, text)| {
        let place = format!("{board}, {kind} {title}");
        let text = text.with_context(|| format!("{place} has no text"))?;
        Ok(Query { place, text })
    });
    queries.collect()
}

/// Every query of every panel.
pub(crate) fn panels(board: &str) -> Result<Vec<Query>> {
    let json = load(board)?;
    let panels = items(&json, "/panels");
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default();
        items(panel, "/targets").into_iter().map(move |target| {
            let name = format!("{title} {}", target["refId"].as_str().unwrap_or_default());
            (name, target["expr"].as_str().map(str::to_owned))
        })
    });
    let queries = texts(board, "panel", targets)?;
    ensure!(queries.len() > 10, "{board} has {} queries", queries.len());
    Ok(queries)
}

/// Every annotation that asks Prometheus.
pub(crate) fn annotations(board: &str) -> Result<Vec<Query>> {
    let json = load(board)?;
    let ours = items(&json, "/annotations/list")
        .into_iter()
        .filter(|annotation| annotation.get("expr").is_some());
    let found = ours.map(|annotation| {
        (
            annotation["name"].to_string(),
            annotation["expr"].as_str().map(str::to_owned),
        )
    });
    texts(board, "annotation", found)
}

/// The query of each variable: `label_values(<series>, <label>)`.
pub(crate) fn variables(board: &str) -> Result<Vec<Query>> {
    let json = load(board)?;
    let asked = items(&json, "/templating/list")
        .into_iter()
        .filter(|variable| variable["type"] == "query");
    let found = asked.map(|variable| {
        let text = variable.pointer("/query/query").and_then(Value::as_str);
        (variable["name"].to_string(), text.map(str::to_owned))
    });
    texts(board, "variable", found)
}

/// Selector and label of a variable's query.
pub(crate) fn label_values(query: &Query) -> Result<(String, String)> {
    let inner = query
        .text
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'));
    let parts = inner.and_then(|inner| inner.rsplit_once(", "));
    let (selector, label) = parts.with_context(|| format!("{}: {}", query.place, query.text))?;
    Ok((selector.to_owned(), label.to_owned()))
}
