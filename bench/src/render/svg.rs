//! A small writer of SVG.
//!
//! Written by hand because what these plots need is a page of code, and the crates that were looked at do not give it:
//! `plotters` estimates the width of texts unless it has a font library, and draws neither bars with whiskers in lines of text
//! nor an axis of percentiles; `charming` embeds a JavaScript engine to make SVG.
//!
//! The background stays transparent and texts and lines have tones of a middle lightness, which are legible on white and on
//! black: an image cannot see which of its themes a site shows, `prefers-color-scheme` tells that of the system.

use std::fmt::Write;

/// Of texts: a contrast of 4.3:1 on white and on GitHub's dark page, which is the most for both.
pub(super) const TEXT: &str = "#727b86";
/// Of lines behind the figures; half transparent.
const GRID: &str = "#8b949e";

#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A picture. Coordinates are pixels from the upper left.
#[derive(Debug)]
pub(super) struct Svg {
    title: String,
    body: String,
}

/// A line's look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke<'a> {
    pub(super) colour: &'a str,
    pub(super) width: f64,
}

impl Svg {
    /// `title` is what is read to those who do not see it.
    pub(super) fn new(title: &str) -> Self {
        Self {
            title: escaped(title),
            body: String::new(),
        }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = writeln!(self.body, "  {element}");
    }

    pub(super) fn rect(&mut self, [x, y, width, height]: [f64; 4], colour: &str, opacity: f64) {
        self.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="1.5" fill="{colour}" fill-opacity="{opacity}"/>"#
        ));
    }

    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], stroke: Stroke<'_>) {
        let Stroke { colour, width } = stroke;
        self.add(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="{width}"/>"#
        ));
    }

    /// A thin line behind the figures.
    pub(super) fn grid(&mut self, [x1, y1, x2, y2]: [f64; 4]) {
        self.add(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{GRID}" stroke-opacity="0.3"/>"#
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (points, Stroke { colour, width }) = (points.join(" "), stroke);
        self.add(format_args!(
            r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>"#
        ));
    }

    /// A dot; a ring when it is `hollow`.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), colour: &str, hollow: bool) {
        let fill = if hollow { "none" } else { colour };
        self.add(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>"#
        ));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let (anchor, text) = (anchor.name(), escaped(text));
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub(super) fn heading(&mut self, (x, y): (f64, f64), text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="13" font-weight="600">{text}</text>"#
        ));
    }

    pub(super) fn finish(self, width: f64, height: f64) -> String {
        let Self { title, body } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif" font-size="12" fill="{TEXT}">
  <title>{title}</title>
{body}</svg>
"#
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
