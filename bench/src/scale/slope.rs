//! How a cost grows with the work.

use serde::Serialize;

/// A step with a larger exponent is more than linear by more than what differs between two runs.
const LINEAR_WITHIN: f64 = 1.15;

/// The line nearest to all points (least squares), and the step that departs from it most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slope {
    /// Cost of one more connection, room or byte.
    pub each: f64,
    /// Cost that is there without any.
    pub fixed: f64,
    /// `None` when no step can be judged.
    pub steepest: Option<Step>,
}

/// From one amount of work to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    pub from: f64,
    pub to: f64,
    /// The cost grows with this power of the work: 0 = it stays, 1 = it is linear.
    pub exponent: f64,
    pub is_super_linear: bool,
}

impl Slope {
    /// Of points of work and cost, in the order of their work. `None` for less than two.
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
        let (work, cost) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - work).powi(2)).sum();
        if points.len() < 2 || spread == 0.0 {
            return None;
        }
        let together = points.iter().map(|point| (point.0 - work) * (point.1 - cost));
        let each = together.sum::<f64>() / spread;
        let steps = points
            .windows(2)
            .filter_map(|pair| Step::between(pair[0], pair[1]));
        Some(Self {
            each,
            fixed: cost - each * work,
            steepest: steps.max_by(|a, b| a.exponent.total_cmp(&b.exponent)),
        })
    }
}

impl Step {
    fn between((from, cost): (f64, f64), (to, next_cost): (f64, f64)) -> Option<Self> {
        let exponent = (next_cost / cost).ln() / (to / from).ln();
        exponent.is_finite().then_some(Self {
            from,
            to,
            exponent,
            is_super_linear: exponent > LINEAR_WITHIN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_with_its_fixed_part() {
        let slope = Slope::of(&[(1.0, 12.0), (10.0, 30.0), (100.0, 210.0)]).unwrap();
        assert!((slope.each - 2.0).abs() < 1e-9 && (slope.fixed - 10.0).abs() < 1e-9);
        assert!(!slope.steepest.unwrap().is_super_linear);
    }

    #[test]
    fn the_step_that_is_more_than_linear_is_named() {
        let step = Slope::of(&[(1.0, 1.0), (10.0, 10.0), (20.0, 40.0), (40.0, 41.0)]);
        let step = step.unwrap().steepest.unwrap();
        assert_eq!((step.from, step.to, step.is_super_linear), (10.0, 20.0, true));
        assert!((step.exponent - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_judged_is_left_out() {
        assert_eq!(Slope::of(&[(1.0, 1.0)]), None);
        assert_eq!(Slope::of(&[(1.0, 1.0), (1.0, 2.0)]), None);
        // A cost that a run measured as nothing, or less.
        assert_eq!(Slope::of(&[(1.0, -1.0), (2.0, 2.0)]).unwrap().steepest, None);
    }
}
