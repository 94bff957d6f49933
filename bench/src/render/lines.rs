//! A panel of lines over two axes.

use super::svg::{Anchor, Stroke, Svg};
use crate::compare::figure::rounded;

const LEFT: f64 = 58.0;
/// For half of the last name below the axis.
const RIGHT: f64 = 26.0;
const HEAD: f64 = 30.0;
const FOOT: f64 = 44.0;

#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) colour: &'static str,
    pub(super) points: Vec<Point>,
    /// Whether the points are shown as well.
    pub(super) has_dots: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Shown as a ring.
    pub(super) is_hollow: bool,
}

#[derive(Debug)]
pub(super) struct Axis {
    /// With its unit.
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    Logarithmic,
    /// Of quantiles: logarithmic in what is above them, from 50 to 99.99 %.
    Percentile,
}

/// Where values of an axis are, and which of them are named.
#[derive(Debug)]
struct Ruler {
    scale: Scale,
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
}

impl Panel {
    pub(super) fn draw(&self, svg: &mut Svg, (left, top): (f64, f64), (width, height): (f64, f64)) {
        svg.heading((left, top + 14.0), &self.title);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Ruler::new(self.x.scale, points().map(|point| point.x));
        let y = Ruler::new(self.y.scale, points().map(|point| point.y));
        let (x0, x1) = (left + LEFT, left + width - RIGHT);
        let (y0, y1) = (top + height - FOOT, top + HEAD + 12.0);
        for (value, text) in &x.ticks {
            let at = x.place(*value, x0, x1);
            svg.grid([at, y0, at, y1]);
            svg.text((at, y0 + 16.0), Anchor::Middle, text);
        }
        for (value, text) in &y.ticks {
            let at = y.place(*value, y0, y1);
            svg.grid([x0, at, x1, at]);
            svg.text((x0 - 6.0, at + 4.0), Anchor::End, text);
        }
        svg.text((f64::midpoint(x0, x1), y0 + 34.0), Anchor::Middle, self.x.label);
        svg.text((left, top + 31.0), Anchor::Start, self.y.label);
        for line in &self.lines {
            let at = |point: &Point| (x.place(point.x, x0, x1), y.place(point.y, y0, y1));
            let places: Vec<_> = line.points.iter().map(at).collect();
            let stroke = Stroke {
                colour: line.colour,
                width: 2.0,
            };
            svg.polyline(&places, stroke);
            for (place, point) in places.iter().zip(&line.points).filter(|_| line.has_dots) {
                svg.dot(*place, line.colour, point.is_hollow);
            }
        }
    }
}

impl Ruler {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(0.0, f64::max);
        // Without points the axis still has to be somewhere.
        let (low, high) = if high > 0.0 { (low, high) } else { (1.0, 10.0) };
        let ticks = match scale {
            Scale::Linear => linear_ticks(high),
            Scale::Logarithmic => logarithmic_ticks(low, high),
            Scale::Percentile => [0.5, 0.9, 0.99, 0.999, 0.9999].map(|at| (at, percent(at))).into(),
        };
        let first = ticks.first().map_or(0.0, |(value, _)| *value);
        let last = ticks.last().map_or(1.0, |(value, _)| *value);
        Self {
            scale,
            from: scale.stretched(first),
            to: scale.stretched(last),
            ticks,
        }
    }

    fn place(&self, value: f64, start: f64, end: f64) -> f64 {
        let share = (self.scale.stretched(value) - self.from) / (self.to - self.from);
        start + share.clamp(0.0, 1.0) * (end - start)
    }
}

impl Scale {
    /// The value where the axis has even steps.
    fn stretched(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
            Self::Percentile => -(1.0 - value).max(f64::MIN_POSITIVE).log10(),
        }
    }
}

fn percent(quantile: f64) -> String {
    format!("{} %", rounded(100.0 * quantile, 6))
}

/// Four to eight steps of 1, 2 or 5 from 0 to above `most`.
fn linear_ticks(most: f64) -> Vec<(f64, String)> {
    let power = 10_f64.powf(most.log10().floor());
    let step = [0.2, 0.5, 1.0, 2.0].map(|step| step * power).into_iter();
    let step = step.clone().find(|step| most / step <= 6.0).unwrap_or(power);
    let steps = (most / step).ceil();
    let mut ticks = vec![(0.0, "0".to_owned())];
    let mut count = 1.0;
    while count <= steps {
        let value = rounded(step * count, 3);
        ticks.push((value, short(value)));
        count += 1.0;
    }
    ticks
}

/// 1, 2 and 5 of each power, from below `low` to above `high`; powers alone when there are many.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let digits: &[f64] = if (high / low).log10() > 2.5 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let mut power = 10_f64.powf(low.log10().floor());
    let mut ticks: Vec<f64> = Vec::new();
    while ticks.last().is_none_or(|last| *last < high) {
        for digit in digits {
            let value = rounded(digit * power, 3);
            if value <= low {
                ticks.clear();
            }
            if ticks.last().is_none_or(|last| *last < high) {
                ticks.push(value);
            }
        }
        power *= 10.0;
    }
    ticks.into_iter().map(|value| (value, short(value))).collect()
}

/// `1.5 M`, `200 k`, `0.5`.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", rounded(value / 1e6, 3)),
        value if value >= 1e3 => format!("{} k", rounded(value / 1e3, 3)),
        value => format!("{}", rounded(value, 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ticks: &[(f64, String)]) -> String {
        let names: Vec<_> = ticks.iter().map(|(_, name)| name.as_str()).collect();
        names.join(" ")
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(names(&linear_ticks(1_480_000.0)), "0 500 k 1 M 1.5 M");
        assert_eq!(names(&linear_ticks(5.3)), "0 1 2 3 4 5 6");
        assert_eq!(names(&logarithmic_ticks(1.2, 46.0)), "1 2 5 10 20 50");
        assert_eq!(names(&logarithmic_ticks(0.3, 900.0)), "0.1 1 10 100 1 k");
    }

    #[test]
    fn places_follow_the_scale() {
        let ruler = Ruler::new(Scale::Percentile, [0.5].into_iter());
        assert!(ruler.place(0.5, 0.0, 400.0).abs() < 1e-6);
        assert!((ruler.place(0.9999, 0.0, 400.0) - 400.0).abs() < 1e-6);
        let ruler = Ruler::new(Scale::Logarithmic, [1.0, 100.0].into_iter());
        assert!((ruler.place(10.0, 200.0, 0.0) - 100.0).abs() < 1e-6);
        let ruler = Ruler::new(Scale::Linear, std::iter::empty());
        assert!(ruler.place(3.0, 0.0, 1.0).is_finite());
    }
}
