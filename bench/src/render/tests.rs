use serde_json::Value;

use super::*;
use crate::compare::{
    figure::Figure,
    record::{self, Record},
};

/// Invented results: two runs of three servers, or of one, at eight rows; one cell fails in both, another was disturbed in the second, and
/// the client was the limit of one in the first.
fn records() -> Vec<Record> {
    record::parse(include_str!("fixture.jsonl")).unwrap()
}

fn result<'a>(records: &'a [Record], run: u32, row: &str, server: &str) -> &'a Value {
    let is_it =
        |record: &&Record| record.cell.run == run && record.cell.row == row && record.cell.server == server;
    &records.iter().find(is_it).unwrap().report().unwrap().result
}

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-3
}

#[test]
fn medians_and_ratios_are_those_of_the_runs() {
    let records = records();
    let summary = Summary::of(&records).unwrap();
    let natter = summary.row("large-room").unwrap().server("natter").unwrap();
    let figure = |run, server| {
        Figure::Cpu
            .of(result(&records, run, "large-room", server))
            .unwrap()
    };
    let (first, second) = (figure(1, "natter"), figure(2, "natter"));
    let spread = natter.figures[&Figure::Cpu];
    assert!(close(spread.median, f64::midpoint(first, second)));
    assert!(close(spread.min, first.min(second)) && close(spread.max, first.max(second)));
    let ratio = f64::midpoint(first / figure(1, "bun"), second / figure(2, "bun"));
    assert!(close(natter.ratio(Figure::Cpu, "bun").unwrap(), ratio));
    assert_eq!(natter.ratio(Figure::Cpu, "natter"), None);
    assert_eq!(natter.runs, 2);
}

#[test]
fn what_failed_and_what_was_disturbed_is_kept() {
    let summary = Summary::of(&records()).unwrap();
    let idle = summary.row("idle").unwrap();
    let floor = idle.server("floor").unwrap();
    assert_eq!((floor.runs, floor.failed.len()), (0, 2));
    assert!(floor.figures.is_empty() && floor.latencies.is_empty());
    assert_eq!(
        idle.server("natter").unwrap().ratio(Figure::Resident, "floor"),
        None
    );
    let bun = summary.row("large-room").unwrap().server("bun").unwrap();
    assert_eq!((bun.runs, &*bun.disturbed), (2, &[2][..]));
}

#[test]
fn a_curve_rises_and_a_search_has_steps() {
    let summary = Summary::of(&records()).unwrap();
    let natter = summary.row("large-room").unwrap().server("natter").unwrap();
    assert_eq!(natter.latencies.len(), curve::QUANTILES.len());
    assert!(natter.latencies.is_sorted());
    let natter = summary.row("saturated").unwrap().server("natter").unwrap();
    assert!(natter.steps.len() > 2 && natter.steps.last().unwrap().limit.is_some());
    assert!(natter.median(Figure::Rate).unwrap() >= natter.steps[0].rate);
}

#[test]
fn growth_has_points_and_slopes_and_a_flood_is_judged_by_the_others() {
    let records = records();
    let summary = Summary::of(&records).unwrap();
    let growth = &summary.row("growth").unwrap().server("natter").unwrap().growth;
    let axes: Vec<_> = growth
        .iter()
        .map(|growth| (growth.axis.as_str(), growth.points.len()))
        .collect();
    assert_eq!(axes, [("connections", 4), ("rooms", 5), ("size", 5)]);
    assert_eq!(growth[0].slopes["resident"].exponent, Some(0.99));
    assert!(summary.row("growth").unwrap().server("bun").is_none());
    let natter = summary.row("flood").unwrap().server("natter").unwrap();
    let p99 = |run| {
        let others = &result(&records, run, "flood", "natter")["others"];
        others["during"]["latency"]["p99"].as_f64().unwrap()
    };
    let median = natter.median(Figure::P99OfOthers).unwrap();
    assert!(close(median, f64::midpoint(p99(1), p99(2))));
    assert_eq!(natter.latencies.len(), curve::QUANTILES.len());
}

#[test]
fn results_of_two_machines_are_no_comparison() {
    let mut records = records();
    let Some(record::Outcome::Report(report)) = records.last_mut().map(|record| &mut record.outcome) else {
        panic!("the last cell has no report");
    };
    report.machine.cores += 1;
    assert!(Summary::of(&records).is_err());
}

#[test]
fn the_page_says_what_was_measured() {
    let summary = Summary::of(&records()).unwrap();
    let page = page::text(&summary, &plots::all(&summary), "images");
    for part in [
        "medians of 2 runs, on Fixture CPU @ 2.00GHz, 2 cores, 8.0 GiB",
        "| Bun | bun 1.2.3 |",
        "| 1,000 members × 50 messages/s | Natter | p99, ms | below Bun |",
        "### Saturated, 1,000 members",
        "just bench fanout --members 1000 --rate 50 --server NAME",
        "![Latency of deliveries](images/bench-latency.svg)",
        "1,000 members × 50 messages/s, Bun: the machine was not quiet, twice, in run 2.",
        "| other rooms while one of 10,000 members is flooded | Natter | p99 of other rooms, ms | ≤ 20.0 |",
        "Natter, by bytes of a message:",
        "| 18,000 | 24,",
        "| Natter | 0.059 (0.059–0.060) | 0.82 | 0.60 | 2.10 | 0 |",
        "| Natter | 1.26 (1.26–1.27) | 0.084 | 95.0 | 0 | 9.80 | 2.40 |",
        "| Natter | 2.70 | 1,200,000 | 3.40 | 3.10 | 9.10 |",
        "5,000 connects and joins, 500 a second, Bun: the client was the limit in run 1.",
        "floor: runs 1, 2 failed: `the server does not listen`.",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn plots_are_well_formed_and_show_every_server() {
    let summary = Summary::of(&records()).unwrap();
    let plots = plots::all(&summary);
    let files: Vec<_> = plots.iter().map(|plot| plot.file).collect();
    assert_eq!(
        files,
        [
            "bench-cpu.svg",
            "bench-latency.svg",
            "bench-saturation.svg",
            "bench-flood.svg",
            "bench-growth.svg",
            "bench-idle.svg"
        ]
    );
    for plot in &plots {
        assert_eq!(open_elements(&plot.svg), Vec::<&str>::new(), "{}", plot.file);
        assert!(plot.svg.contains(">Natter</text>"));
        let has_others = plot.file != "bench-growth.svg";
        assert_eq!(plot.svg.contains(">Bun</text>"), has_others, "{}", plot.file);
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"));
    }
    assert!(plots::all(&Summary::default()).is_empty());
}

/// Elements that are not closed, in a text as the writer makes it: no comments, no `>` in attributes.
fn open_elements(svg: &str) -> Vec<&str> {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        let name = tag.split_ascii_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    open
}

#[test]
fn prose_outside_of_the_marks_stays() {
    let page = format!("# Title\n{BEGIN}old\n{END}more\n");
    assert_eq!(
        replaced(&page, "new").unwrap(),
        format!("# Title\n{BEGIN}\nnew\n{END}more\n")
    );
    assert!(replaced("# Title\n", "new").is_err());
}

/// `just bench-render` writes both anew from the committed summary.
#[test]
fn the_committed_page_and_plots_are_those_of_the_committed_summary() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let summary = super::read(&docs.join("benchmarks.json")).unwrap();
    let plots = plots::all(&summary);
    let page = fs::read_to_string(docs.join("benchmarks.md")).unwrap();
    let fresh = replaced(&page, &page::text(&summary, &plots, "images")).unwrap();
    assert!(
        page == fresh,
        "docs/benchmarks.md is not fresh: run `just bench-render`"
    );
    for plot in plots {
        let committed = fs::read_to_string(docs.join("images").join(plot.file)).unwrap_or_default();
        assert!(
            committed == plot.svg,
            "docs/images/{} is not fresh: run `just bench-render`",
            plot.file
        );
    }
}
