use clap::Parser;
use serde_json::json;

use super::*;
use crate::report::{Machine, Report, SCHEMA};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(words: &str) -> Args {
    Line::try_parse_from(
        ["compare", "--out", "x"]
            .into_iter()
            .chain(words.split_whitespace()),
    )
    .unwrap()
    .args
}

fn record(cell: &Cell, outcome: Outcome) -> Record {
    Record {
        cell: cell.clone(),
        busy_before: 0.0,
        is_repeated: false,
        is_disturbed: false,
        outcome,
    }
}

fn report() -> Outcome {
    Outcome::Report(Box::new(Report {
        schema: SCHEMA,
        scenario: "fanout".to_owned(),
        arguments: Vec::new(),
        date: "2026-11-21T22:00:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        machine: Machine::this().unwrap(),
        result: json!({"cpu_seconds_per_million": 5.0, "others_cores": 0.2}),
    }))
}

#[test]
fn runs_are_interleaved_and_begin_with_another_server() {
    let cells = args("--runs 2 --rows idle,busy-room --servers natter,bun,floor --duration 3").cells();
    let places: Vec<_> = cells
        .iter()
        .map(|cell| (cell.run, &*cell.row, &*cell.server))
        .collect();
    assert_eq!(
        places[..3],
        [(1, "idle", "floor"), (1, "idle", "bun"), (1, "idle", "natter")]
    );
    assert_eq!(places[3..5], [(1, "busy-room", "floor"), (1, "busy-room", "bun")]);
    assert_eq!(places[6], (2, "idle", "bun"));
    assert_eq!(
        cells[0].arguments.join(" "),
        "density --connections 10000 --server floor"
    );
    assert!(
        cells[3]
            .arguments
            .join(" ")
            .ends_with("--server floor --duration 3")
    );
    let all = args("").cells();
    let count = |row, server| {
        all.iter()
            .filter(|cell| cell.row == row && cell.server == server)
            .count()
    };
    assert_eq!((count("flood", "bun"), count("growth", "natter")), (5, 5));
    assert_eq!((count("many-rooms", "nats"), count("growth", "bun")), (0, 0));
    assert_eq!((count("connect", "nats"), count("storm", "bun")), (5, 0));
    assert!(Line::try_parse_from(["compare", "--out", "x", "--rows", "nothing"]).is_err());
}

#[test]
fn what_was_measured_is_not_measured_again_and_what_failed_is() {
    let cells = args("--runs 1 --rows idle --servers natter,bun,floor").cells();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let (mut file, records) = Records::open(&path, false).unwrap();
    assert!(records.is_empty());
    file.append(&record(&cells[0], report())).unwrap();
    file.append(&record(&cells[1], Outcome::Error("no such server".to_owned())))
        .unwrap();

    assert!(Records::open(&path, false).is_err(), "it is there already");
    let (mut file, records) = Records::open(&path, true).unwrap();
    assert_eq!(plan::left(cells.clone(), &records).unwrap(), cells[1..]);
    file.append(&record(&cells[1], report())).unwrap();
    let records = record::read(&path).unwrap();
    assert_eq!(plan::left(cells.clone(), &records).unwrap(), cells[2..]);

    let other = args("--runs 1 --rows idle --servers natter,bun,floor --duration 1").cells();
    assert_eq!(other, cells, "idle connections take as long as they take");
    let mut other = cells;
    other[0].arguments.push("--more".to_owned());
    assert!(plan::left(other, &records).is_err());
}

#[test]
fn a_line_that_was_cut_is_measured_again() {
    let cells = args("--runs 1 --rows idle --servers natter,bun").cells();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let line = serde_json::to_string(&record(&cells[0], report())).unwrap();
    std::fs::write(&path, &line[..line.len() / 2]).unwrap();
    let (mut file, records) = Records::open(&path, true).unwrap();
    assert!(records.is_empty());
    file.append(&record(&cells[0], report())).unwrap();
    assert_eq!(record::read(&path).unwrap().len(), 1);
    std::fs::write(&path, "{}\n").unwrap();
    assert!(record::read(&path).is_err(), "a line of something else");
}

#[test]
fn what_others_use_disturbs_a_cell() {
    let cells = args("--runs 1 --rows busy-room --servers natter").cells();
    let mut record = record(&cells[0], report());
    assert!((others(&record) - 0.2).abs() < 1e-9);
    assert_eq!(
        line(&record),
        "run 1, busy-room, natter: 5.00 CPU-seconds per million"
    );
    record.outcome = Outcome::Error("no such server".to_owned());
    assert!(others(&record).abs() < 1e-9);
    assert_eq!(line(&record), "run 1, busy-room, natter: failed: no such server");
}

#[test]
fn the_time_left_follows_what_was_measured() {
    let cells = args("--runs 5 --rows idle --servers natter").cells();
    let mut progress = Progress::default();
    assert_eq!(progress.left(&cells), "2 min");
    progress.took("idle", Duration::from_mins(50));
    assert_eq!(progress.left(&cells[1..]), "3 h 20 min");
}
