//! Panels of horizontal bars: a server a line with its name, its median as a bar and a number, and its spread as a whisker.

use super::{
    summary::Spread,
    svg::{Anchor, Stroke, Svg, TEXT},
};
use crate::compare::figure::number;

const LINE: f64 = 21.0;
const BAR: f64 = 13.0;
const LABELS: f64 = 160.0;
/// For the number behind the longest bar.
const NUMBERS: f64 = 96.0;
const HEAD: f64 = 44.0;
pub(super) const GAP: f64 = 24.0;

#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) bars: Vec<Bar>,
}

#[derive(Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) colour: &'static str,
    pub(super) spread: Spread,
    /// Shown paler behind the bar: what NATS takes beside the server.
    pub(super) more: Option<f64>,
}

impl Panel {
    pub(super) fn height(&self) -> f64 {
        HEAD + LINE * f64::from(u32::try_from(self.bars.len()).unwrap_or(u32::MAX)) + GAP
    }

    pub(super) fn draw(&self, svg: &mut Svg, (left, top): (f64, f64), width: f64) {
        svg.heading((left, top + 14.0), &self.title);
        svg.text((left, top + 31.0), Anchor::Start, self.unit);
        let ends = self
            .bars
            .iter()
            .map(|bar| bar.spread.max.max(bar.spread.median + bar.more.unwrap_or(0.0)));
        let most = ends.fold(f64::MIN_POSITIVE, f64::max);
        let from = left + LABELS;
        let scale = (width - LABELS - NUMBERS) / most;
        let mut y = top + HEAD;
        for bar in &self.bars {
            bar.draw(svg, (from, y), scale);
            y += LINE;
        }
        svg.grid([from, top + HEAD - 4.0, from, y]);
    }
}

impl Bar {
    fn draw(&self, svg: &mut Svg, (x, y): (f64, f64), scale: f64) {
        let Spread { median, min, max } = self.spread;
        let (bar, middle) = (median * scale, y + BAR / 2.0);
        svg.text((x - 8.0, middle + 4.0), Anchor::End, &self.label);
        svg.rect([x, y, bar, BAR], self.colour, 0.9);
        let mut end = x + bar.max(max * scale);
        if let Some(more) = self.more {
            svg.rect([x + bar, y, more * scale, BAR], self.colour, 0.35);
            end = end.max(x + bar + more * scale);
        }
        if max > min {
            let stroke = Stroke {
                colour: TEXT,
                width: 1.5,
            };
            svg.line([x + min * scale, middle, x + max * scale, middle], stroke);
        }
        let more = self
            .more
            .map_or_else(String::new, |more| format!(" + {}", number(more)));
        svg.text(
            (end + 6.0, middle + 4.0),
            Anchor::Start,
            &format!("{}{more}", number(median)),
        );
    }
}
