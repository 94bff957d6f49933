//! Latency at many quantiles, from the histograms of all runs.

use anyhow::Context;
use serde_json::Value;

use super::summary::Spread;
use crate::{
    compare::figure::measured,
    tally::{decode, milliseconds},
};

/// From 50 to 99.99 %, in even steps on the axis of the plot, which is logarithmic in what is above the quantile.
pub const QUANTILES: [f64; 16] = [
    0.5, 0.683_772, 0.822_172, 0.9, 0.943_766, 0.968_377, 0.982_217, 0.99, 0.994_377, 0.996_838, 0.998_222,
    0.999, 0.999_438, 0.999_684, 0.999_822, 0.999_9,
];

/// Empty when the results have no latency.
pub(super) fn median(results: &[&Value]) -> anyhow::Result<Vec<f64>> {
    let mut histograms = Vec::new();
    for result in results {
        // Of a flood, that of the others counts.
        let latency = result
            .pointer("/others/during/latency")
            .or_else(|| measured(result).get("latency"));
        if let Some(latency) = latency {
            let text = latency.get("histogram").and_then(Value::as_str);
            histograms.push(decode(text.context("a latency has no histogram")?)?);
        }
    }
    let at = |quantile| {
        let values = histograms
            .iter()
            .map(|histogram| milliseconds(histogram, quantile));
        Some(Spread::of(values.collect())?.median)
    };
    Ok(QUANTILES.into_iter().filter_map(at).collect())
}
