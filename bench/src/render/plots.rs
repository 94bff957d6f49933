//! The plots of a summary.

use super::{
    bars::{self, Bar},
    curve::QUANTILES,
    growth,
    lines::{self, Axis, Line, Point, Scale},
    steps::Step,
    summary::{RowSummary, ServerSummary, Summary},
    svg::{Anchor, Svg},
};
use crate::compare::{
    figure::Figure,
    rows::{self, Kind, Row},
    servers,
};

const WIDTH: f64 = 960.0;
/// Between two panels beside each other.
const GUTTER: f64 = 28.0;
const HALF: f64 = (WIDTH - GUTTER) / 2.0;
const CHART: f64 = 300.0;
const SMALL_CHART: f64 = 220.0;
const LEGEND_LINE: f64 = 20.0;

/// A picture and what is said for it.
#[derive(Debug)]
pub(super) struct Plot {
    /// Of the file, without a folder.
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

/// Those that there are results for.
pub(super) fn all(summary: &Summary) -> Vec<Plot> {
    let rows: Vec<_> = summary
        .rows
        .iter()
        .filter_map(|row| Some((rows::named(&row.row)?, row)))
        .collect();
    let of = |kind: Kind| {
        rows.iter()
            .copied()
            .filter(|(row, _)| row.kind == kind)
            .collect::<Vec<_>>()
    };
    let rates = of(Kind::Rate);
    let cpu = rates.iter().map(|(row, results)| {
        panel(
            row,
            results,
            Figure::Cpu,
            "CPU-seconds of the server per million deliveries",
        )
    });
    let saturated = of(Kind::Saturation);
    let floods = of(Kind::Flood);
    let plots = [
        bars("bench-cpu.svg", "CPU of deliveries", &cpu.collect::<Vec<_>>()),
        latency("bench-latency.svg", "Latency of deliveries", &rates),
        saturation(&saturated),
        latency(
            "bench-flood.svg",
            "Latency in other rooms during a flood",
            &floods,
        ),
        growth(&of(Kind::Growth)),
        bars("bench-idle.svg", "Idle connections", &idle(&of(Kind::Idle))),
    ];
    plots.into_iter().flatten().collect()
}

fn idle(rows: &[(&Row, &RowSummary)]) -> Vec<bars::Panel> {
    let panels = rows.iter().flat_map(|(row, results)| {
        [
            (
                "Memory of an idle connection",
                panel(
                    row,
                    results,
                    Figure::Resident,
                    "resident bytes of the server for each, in a room",
                ),
            ),
            (
                "A connect and a join",
                panel(
                    row,
                    results,
                    Figure::ConnectCpu,
                    "milliseconds of the server's CPU",
                ),
            ),
        ]
    });
    panels
        .map(|(title, panel)| bars::Panel {
            title: title.to_owned(),
            ..panel
        })
        .collect()
}

fn panel(row: &Row, results: &RowSummary, figure: Figure, unit: &'static str) -> bars::Panel {
    let bar = |server: &ServerSummary| {
        Some(Bar {
            label: servers::title(&server.server).to_owned(),
            colour: servers::colour(&server.server),
            spread: *server.figures.get(&figure)?,
            more: server.median(Figure::BusCpu).filter(|_| figure == Figure::Cpu),
        })
    };
    bars::Panel {
        title: row.title.to_owned(),
        unit,
        bars: results.servers.iter().filter_map(bar).collect(),
    }
}

/// Panels two by two.
fn bars(file: &'static str, title: &'static str, panels: &[bars::Panel]) -> Option<Plot> {
    if panels.iter().all(|panel| panel.bars.is_empty()) {
        return None;
    }
    let mut svg = Svg::new(title);
    let mut top = 0.0;
    for pair in panels.chunks(2) {
        for (panel, left) in pair.iter().zip([0.0, HALF + GUTTER]) {
            panel.draw(&mut svg, (left, top), HALF);
        }
        top += pair.iter().map(bars::Panel::height).fold(0.0, f64::max);
    }
    let svg = svg.finish(WIDTH, top - bars::GAP);
    Some(Plot { file, title, svg })
}

fn latency(file: &'static str, title: &'static str, rows: &[(&Row, &RowSummary)]) -> Option<Plot> {
    let panels = rows.iter().map(|(row, results)| {
        let line = |server: &ServerSummary| {
            line(
                server,
                QUANTILES.into_iter().zip(server.latencies.iter().copied()),
            )
        };
        lines::Panel {
            title: row.title.to_owned(),
            x: axis("share of the deliveries that came within", Scale::Percentile),
            y: axis("ms", Scale::Logarithmic),
            lines: results
                .servers
                .iter()
                .filter(|server| !server.latencies.is_empty())
                .map(line)
                .collect(),
        }
    });
    let panels: Vec<_> = panels.collect();
    charts(file, title, &panels, rows, (2, CHART))
}

fn saturation(rows: &[(&Row, &RowSummary)]) -> Option<Plot> {
    let panels = rows.iter().flat_map(|(_, results)| {
        let searches: Vec<_> = results
            .servers
            .iter()
            .filter(|server| !server.steps.is_empty())
            .collect();
        let lines = |figure: fn(&Step) -> f64| searches.iter().map(|server| search(server, figure)).collect();
        [
            lines::Panel {
                title: "Deliveries for each CPU-second of the server".to_owned(),
                x: axis("deliveries/s", Scale::Linear),
                y: axis("deliveries per CPU-second", Scale::Linear),
                lines: lines(|step| step.per_cpu_second),
            },
            lines::Panel {
                title: "Latency on the way to saturation".to_owned(),
                x: axis("deliveries/s", Scale::Linear),
                y: axis("p99, ms", Scale::Logarithmic),
                lines: lines(|step| step.p99),
            },
        ]
    });
    let panels: Vec<_> = panels.collect();
    charts("bench-saturation.svg", "Saturation", &panels, rows, (2, CHART))
}

/// A line of panels for each axis, a column for each cost.
fn growth(rows: &[(&Row, &RowSummary)]) -> Option<Plot> {
    type Cost = fn(&growth::Point) -> Option<f64>;
    let costs: [(&str, &str, Cost); 3] = [
        ("Memory", "resident KiB", |point| Some(point.resident? / 1024.0)),
        ("CPU of deliveries", "CPU-seconds per million", |point| point.cpu),
        ("Latency", "p99, ms", |point| point.p99),
    ];
    let names: Vec<_> = rows.iter().flat_map(|(_, results)| axes(results)).collect();
    let panels = names.iter().flat_map(|name| costs.map(|cost| (*name, cost)));
    let panels = panels.map(|(name, (title, unit, cost))| {
        let of_axis = |server: &ServerSummary| {
            let growth = server.growth.iter().find(|growth| growth.axis == name)?;
            let points = growth
                .points
                .iter()
                .filter_map(|point| Some((point.work, cost(point)?)));
            // A cost that was measured as nothing has no place on the axis.
            let line = line(server, points.filter(|(_, cost)| *cost > 0.0));
            Some(Line {
                has_dots: true,
                ..line
            })
        };
        lines::Panel {
            title: format!("{title} by {name}"),
            x: axis(work(name), Scale::Logarithmic),
            y: axis(unit, Scale::Logarithmic),
            lines: rows
                .iter()
                .flat_map(|(_, results)| results.servers.iter().filter_map(of_axis))
                .collect(),
        }
    });
    let panels: Vec<_> = panels.collect();
    charts(
        "bench-growth.svg",
        "Costs of growing work",
        &panels,
        rows,
        (3, SMALL_CHART),
    )
}

fn work(axis: &str) -> &'static str {
    match axis {
        "connections" => "connections",
        "rooms" => "rooms",
        _ => "bytes of a message",
    }
}

/// Names of the axes, of any server that has them.
fn axes(results: &RowSummary) -> Vec<&str> {
    let grown = results.servers.iter().find(|server| !server.growth.is_empty());
    let growth = grown.map_or(&[][..], |server| &server.growth);
    growth.iter().map(|growth| growth.axis.as_str()).collect()
}

fn axis(label: &'static str, scale: Scale) -> Axis {
    Axis { label, scale }
}

fn line(server: &ServerSummary, points: impl Iterator<Item = (f64, f64)>) -> Line {
    let point = |(x, y)| Point {
        x,
        y,
        is_hollow: false,
    };
    Line {
        colour: servers::colour(&server.server),
        points: points.map(point).collect(),
        has_dots: false,
    }
}

/// Rates that were not sustained are hollow.
fn search(server: &ServerSummary, figure: fn(&Step) -> f64) -> Line {
    let point = |step: &Step| Point {
        x: step.rate,
        y: figure(step),
        is_hollow: step.limit.is_some(),
    };
    Line {
        colour: servers::colour(&server.server),
        points: server.steps.iter().map(point).collect(),
        has_dots: true,
    }
}

/// Panels below a legend, in so many columns and of such a height.
fn charts(
    file: &'static str,
    title: &'static str,
    panels: &[lines::Panel],
    rows: &[(&Row, &RowSummary)],
    (columns, height): (u32, f64),
) -> Option<Plot> {
    if panels.iter().all(|panel| panel.lines.is_empty()) {
        return None;
    }
    let mut svg = Svg::new(title);
    let shown = |name: &str| {
        rows.iter()
            .any(|(_, results)| results.server(name).is_some_and(|server| server.runs > 0))
    };
    let mut top = legend(
        &mut svg,
        servers::SERVERS.iter().filter(|server| shown(server.name)),
    );
    let width = (WIDTH + GUTTER) / f64::from(columns) - GUTTER;
    for line in panels.chunks(columns as usize) {
        let mut left = 0.0;
        for panel in line {
            panel.draw(&mut svg, (left, top), (width, height));
            left += width + GUTTER;
        }
        top += height + GUTTER / 2.0;
    }
    let svg = svg.finish(WIDTH, top);
    Some(Plot { file, title, svg })
}

/// Five servers a line; returns where it ends.
fn legend<'a>(svg: &mut Svg, servers: impl Iterator<Item = &'a servers::Server>) -> f64 {
    let (mut left, mut top) = (0.0, 0.0);
    for server in servers {
        if left + WIDTH / 5.0 > WIDTH + 1.0 {
            left = 0.0;
            top += LEGEND_LINE;
        }
        svg.rect([left, top + 4.0, 14.0, 10.0], server.colour, 1.0);
        svg.text((left + 20.0, top + 13.0), Anchor::Start, server.title);
        left += WIDTH / 5.0;
    }
    top + LEGEND_LINE + 14.0
}
