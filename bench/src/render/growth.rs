//! How costs grow with the work: points and slopes of the scenario `scale`.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::summary::Spread;
use crate::compare::figure::Figure;

/// One axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// What grows: connections, rooms or size.
    pub axis: String,
    pub points: Vec<Point>,
    /// By the name of the cost in the result.
    pub slopes: BTreeMap<String, Slope>,
}

/// Medians over the runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Connections, rooms or bytes.
    pub work: f64,
    /// Bytes by which the server grew with the connections.
    pub resident: Option<f64>,
    /// CPU-seconds for a million deliveries.
    pub cpu: Option<f64>,
    /// In milliseconds.
    pub p99: Option<f64>,
}

/// Medians over the runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slope {
    /// Cost of one more connection, room or byte.
    pub each: f64,
    pub fixed: f64,
    /// Of the steepest step: the cost grows with this power of the work.
    pub exponent: Option<f64>,
}

const COSTS: [&str; 3] = ["resident", "cpu_seconds_per_million", "p99"];

/// Empty for results of another scenario.
pub(super) fn median(results: &[&Value]) -> anyhow::Result<Vec<Growth>> {
    let axes = |result: &Value| result.get("axes").and_then(Value::as_array).cloned();
    let runs: Vec<_> = results.iter().filter_map(|result| axes(result)).collect();
    let Some(first) = runs.first() else {
        return Ok(Vec::new());
    };
    let of = |place: usize| runs.iter().filter_map(|axes| axes.get(place)).collect::<Vec<_>>();
    (0..first.len()).map(|place| Growth::of(&of(place))).collect()
}

fn median_of(values: &[&Value], path: &str) -> Option<f64> {
    let values = values.iter().filter_map(|value| value.pointer(path)?.as_f64());
    Some(Spread::of(values.collect())?.median)
}

impl Growth {
    /// Of the same axis in all runs.
    fn of(runs: &[&Value]) -> anyhow::Result<Self> {
        let first = runs.first().context("an axis has no run")?;
        let steps = |run: &&Value| run.get("steps").and_then(Value::as_array).cloned();
        let steps: Vec<_> = runs.iter().filter_map(steps).collect();
        let count = steps.first().map_or(0, Vec::len);
        let at = |place: usize| {
            steps
                .iter()
                .filter_map(|steps| steps.get(place))
                .collect::<Vec<_>>()
        };
        let points = (0..count).map(|place| Point::of(&at(place)));
        let slopes = COSTS.iter().filter_map(|cost| {
            let slope = Slope {
                each: median_of(runs, &format!("/{cost}/each"))?,
                fixed: median_of(runs, &format!("/{cost}/fixed"))?,
                exponent: median_of(runs, &format!("/{cost}/steepest/exponent")),
            };
            Some(((*cost).to_owned(), slope))
        });
        let axis = first.get("axis").and_then(Value::as_str);
        Ok(Self {
            axis: axis.context("an axis has no name")?.to_owned(),
            points: points.collect::<anyhow::Result<_>>()?,
            slopes: slopes.collect(),
        })
    }
}

impl Point {
    /// Of the same step in all runs.
    fn of(steps: &[&Value]) -> anyhow::Result<Self> {
        let measured: Vec<_> = steps.iter().filter_map(|step| step.get("measured")).collect();
        let figure = |figure: Figure| {
            let values = measured.iter().filter_map(|measured| figure.of(measured));
            Some(Spread::of(values.collect())?.median)
        };
        Ok(Self {
            work: median_of(steps, "/work").context("a step has no amount of work")?,
            resident: median_of(steps, "/resident"),
            cpu: figure(Figure::Cpu),
            p99: figure(Figure::P99),
        })
    }
}
