//! Tables of how costs grow.

use std::fmt::Write;

use super::super::{
    growth::{Growth, Slope},
    summary::RowSummary,
};
use crate::{
    compare::{figure::number, servers},
    report::grouped,
};

/// Empty for a row of another kind.
pub(super) fn text(results: &RowSummary) -> String {
    let mut text = String::new();
    for server in &results.servers {
        for growth in &server.growth {
            text += &axis(servers::title(&server.server), growth);
        }
    }
    text
}

fn axis(server: &str, growth: &Growth) -> String {
    let Growth { axis, points, slopes } = growth;
    let what = if axis == "size" {
        "bytes of a message"
    } else {
        axis
    };
    let mut text = format!(
        "\n{server}, by {what}:\n\n| {what} | resident KiB | CPU-seconds per million | p99, ms |\n|---|---|---|---|\n"
    );
    let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    for point in points {
        let resident = point.resident.map(|bytes| bytes.max(0.0) / 1024.0);
        // A string takes everything.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            grouped(point.work),
            cell(resident),
            cell(point.cpu),
            cell(point.p99)
        );
    }
    let slope = |cost: &str| slopes.get(cost).map_or_else(|| "–".to_owned(), slope_text);
    let _ = writeln!(
        text,
        "| for one more | {} | {} | {} |\n| power of the steepest step | {} | {} | {} |",
        slopes
            .get("resident")
            .map_or_else(|| "–".to_owned(), |slope| format!("{} bytes", number(slope.each))),
        slope("cpu_seconds_per_million"),
        slope("p99"),
        power(slopes.get("resident")),
        power(slopes.get("cpu_seconds_per_million")),
        power(slopes.get("p99")),
    );
    text
}

fn slope_text(slope: &Slope) -> String {
    format!("{:.1e}", slope.each)
}

/// 0 = the cost stays, 1 = it is linear.
fn power(slope: Option<&Slope>) -> String {
    let exponent = slope.and_then(|slope| slope.exponent);
    exponent.map_or_else(|| "–".to_owned(), |exponent| format!("{exponent:.2}"))
}
