//! The Prometheus text format (version 0.0.4), as far as tests need it: samples by name and labels.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

/// The samples of one scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the body of `/metrics`; any line that is not of the format is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).with_context(|| format!("not a sample: {line}")));
        Ok(Self {
            samples: samples.collect::<Result<_>>()?,
        })
    }

    /// The sum of the samples of `name` that carry all of `labels`, whatever others they carry.
    ///
    /// `None` when there is no such sample: a labelled counter appears with its first increment, and a mistyped name
    /// must not pass for zero. Histograms have the names `…_bucket`, `…_sum` and `…_count`.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|&(label, value)| sample.labels.get(label).is_some_and(|found| found == value))
        };
        self.samples
            .iter()
            .filter(fits)
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }

    /// The values of a label that samples of `name` carry, each once.
    pub fn labels<'a>(&'a self, name: &str, label: &str) -> BTreeSet<&'a str> {
        let of_name = self.samples.iter().filter(|sample| sample.name == name);
        let values = of_name.filter_map(|sample| sample.labels.get(label));
        values.map(String::as_str).collect()
    }

    /// The sum of all samples of `name`; 0 when there is none.
    pub fn sum(&self, name: &str) -> f64 {
        self.value(name, &[]).unwrap_or(0.0)
    }

    /// What must hold in every scrape: nothing goes missing between two counters (`docs/observability.md`).
    pub fn balance(&self) -> Result<()> {
        let asked = |source| {
            self.value("natter_publications_total", &[("source", source)])
                .unwrap_or(0.0)
        };
        let ended = asked("client")
            + asked("api")
            + self.sum("natter_publications_repeated_total")
            + self.sum("natter_publications_refused_total");
        let (offered, pending) = (
            self.sum("natter_publications_offered_total"),
            self.sum("natter_publications_pending"),
        );
        ensure!(
            (offered - ended - pending).abs() < 0.5,
            "of {offered} publications {ended} ended and {pending} are pending"
        );
        let (delivered, dropped) = (
            self.sum("natter_deliveries_total"),
            self.sum("natter_deliveries_dropped_total"),
        );
        let (owed, queued) = (
            self.sum("natter_deliveries_owed_total"),
            self.sum("natter_deliveries_queued"),
        );
        ensure!(
            (owed - delivered - dropped - queued).abs() < 0.5,
            "of {owed} deliveries {delivered} were made, {dropped} dropped and {queued} are queued"
        );
        Ok(())
    }

    /// The names of all samples, once each.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.samples.iter().map(|sample| sample.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// `name{label="value",…} value [timestamp]`, the labels optional.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// A label value up to its closing quote, with `\\`, `\"` and `\n` replaced, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}
