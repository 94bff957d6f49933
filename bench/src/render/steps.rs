//! The steps of a search for the highest rate.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compare::figure::{Figure, rounded};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Deliveries a second.
    pub rate: f64,
    pub per_cpu_second: f64,
    /// In milliseconds.
    pub p99: f64,
    /// Why the rate was not sustained.
    pub limit: Option<String>,
}

/// Those of the run whose sustained rate is the median; none for a scenario without a search.
pub(super) fn median_run(results: &[&Value]) -> anyhow::Result<Vec<Step>> {
    let mut runs: Vec<_> = results
        .iter()
        .filter_map(|result| Some((Figure::Rate.of(result)?, result.get("steps")?.as_array()?)))
        .collect();
    runs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let Some((_, steps)) = runs.get(runs.len().saturating_sub(1) / 2) else {
        return Ok(Vec::new());
    };
    steps.iter().map(Step::of).collect()
}

impl Step {
    fn of(step: &Value) -> anyhow::Result<Self> {
        let figure = |figure: Figure| {
            let value = figure.of(step);
            Ok::<_, anyhow::Error>(rounded(
                value.with_context(|| format!("a step has no {}", figure.title()))?,
                4,
            ))
        };
        Ok(Self {
            rate: figure(Figure::Rate)?,
            per_cpu_second: figure(Figure::PerCpuSecond)?,
            p99: figure(Figure::P99)?,
            limit: step.get("limit").and_then(Value::as_str).map(str::to_owned),
        })
    }
}
