//! What the gateway is to reach: its figures of one run against a bound, or against those of another server in that run.

use super::{figure::Figure, servers};

#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Who is to reach it.
    pub server: &'static str,
    pub figure: Figure,
    pub bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// So many times the figure of another server.
    Times(f64, &'static str),
    /// Less than the figure of another server.
    Below(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Met,
    /// By so many percent of the bound.
    Missed(f64),
}

impl Bound {
    /// The server that the figure is divided by, if any.
    pub fn reference(self) -> Option<&'static str> {
        match self {
            Self::Times(_, server) | Self::Below(server) => Some(server),
            Self::AtMost(_) | Self::AtLeast(_) => None,
        }
    }

    /// `value` is the figure, or its ratio to that of the [reference](Self::reference).
    pub fn judge(self, value: f64) -> Verdict {
        let (is_met, bound) = match self {
            Self::AtMost(bound) | Self::Times(bound, _) => (value <= bound, bound),
            Self::AtLeast(bound) => (value >= bound, bound),
            Self::Below(_) => (value < 1.0, 1.0),
        };
        if is_met {
            Verdict::Met
        } else {
            Verdict::Missed(100.0 * (value / bound - 1.0).abs())
        }
    }

    pub fn text(self) -> String {
        let title = servers::title;
        match self {
            Self::AtMost(bound) => format!("≤ {}", super::figure::number(bound)),
            Self::AtLeast(bound) => format!("≥ {}", super::figure::number(bound)),
            Self::Times(times, server) => format!("≤ {times} × {}", title(server)),
            Self::Below(server) => format!("below {}", title(server)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_met_or_missed_by_their_share() {
        assert_eq!(Bound::AtMost(2_560.0).judge(2_560.0), Verdict::Met);
        assert_eq!(Bound::AtMost(50.0).judge(75.0), Verdict::Missed(50.0));
        assert_eq!(Bound::AtLeast(100.0).judge(75.0), Verdict::Missed(25.0));
        assert_eq!(Bound::Times(1.5, "bun").judge(1.4), Verdict::Met);
        assert_eq!(Bound::Below("bun").judge(1.0), Verdict::Missed(0.0));
        assert_eq!(Bound::Times(1.1, "floor").reference(), Some("floor"));
    }
}
