//! A short run on every server, as from a terminal: it fails by itself unless every message comes once and in order.

use std::{fs, process::Command, time::Duration};

use anyhow::Result;
use clap::ValueEnum;
use futures_util::future::try_join_all;
use natter_bench::server::Name;
use natter_tests::{process::Process, tools};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);

struct Outcome {
    is_ok: bool,
    /// On stderr.
    said: String,
    report: Value,
}

impl Outcome {
    fn is_refused(&self, why: &str) {
        assert!(!self.is_ok && self.said.contains(why), "{}", self.said);
    }
}

/// A load that every server carries.
async fn load(server: Name, more: &[&str]) -> Result<Outcome> {
    let small = "--members 4 --rooms 2 --publishers 2 --rate 100 --warmup 0 --duration 1";
    let words: Vec<_> = small.split(' ').chain(more.iter().copied()).collect();
    fanout(server, &words).await
}

async fn fanout(server: Name, words: &[&str]) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("result.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_natter-bench"));
    command
        .args(["fanout", "--server", &server.to_string(), "--json"])
        .arg(&file)
        .arg("--gateway")
        .arg(tools::gateway().await?)
        .args(words);
    let process = Process::spawn("bench", &mut command)?;
    let status = process.wait_exit(LIMIT).await?;
    let report = fs::read_to_string(&file).unwrap_or_default();
    Ok(Outcome {
        is_ok: status.success(),
        said: process.stderr().tail(),
        report: serde_json::from_str(&report).unwrap_or_default(),
    })
}

fn check(server: Name, outcome: &Outcome) {
    assert!(outcome.is_ok, "{server}: {}", outcome.said);
    let result = &outcome.report["result"];
    assert_eq!(result["server"], server.to_string());
    assert_ne!(result["version"].as_str().unwrap_or_default(), "", "{server}");
    assert_eq!(result["deliveries"], 400, "{server}");
    let has_bus = matches!(
        server,
        Name::NatterNatsOne | Name::NatterNats | Name::NatterDurableMemory | Name::NatterDurableFile
    );
    assert_eq!(result["bus_cpu_seconds"].is_number(), has_bus, "{server}");
}

/// Loads all servers at once: most of the time they wait for the schedule.
async fn load_all(more: &[&str]) -> Result<Vec<(Name, Outcome)>> {
    let loads = Name::value_variants()
        .iter()
        .map(|server| async move { Ok((*server, load(*server, more).await?)) });
    try_join_all(loads).await
}

#[tokio::test]
async fn every_server_delivers_what_comes_by_a_socket() -> Result<()> {
    for (server, outcome) in load_all(&[]).await? {
        check(server, &outcome);
    }
    Ok(())
}

#[tokio::test]
async fn every_server_with_http_delivers_what_comes_by_it() -> Result<()> {
    for (server, outcome) in load_all(&["--by", "http"]).await? {
        if server == Name::Nats {
            outcome.is_refused("nats takes no publications by HTTP");
        } else {
            check(server, &outcome);
        }
    }
    Ok(())
}

/// A schedule that is hard to keep, of messages that the kernel can hold all: the floor ends whoever does not read in time.
#[tokio::test]
async fn a_backlog_counts_wherever_it_waits() -> Result<()> {
    let words = "--members 1 --publishers 1 --rate 50000 --warmup 0 --duration 1";
    let words: Vec<_> = words.split(' ').collect();
    let outcome = fanout(Name::Floor, &words).await?;
    assert!(outcome.is_ok, "{}", outcome.said);
    let result = &outcome.report["result"];
    let (seconds, drain) = (result["seconds"].as_f64(), result["drain_seconds"].as_f64());
    let scheduled = seconds.unwrap_or_default() - drain.unwrap_or_default();
    assert!((scheduled - 1.0).abs() < 0.3, "{result:#}");
    Ok(())
}

#[tokio::test]
async fn settings_of_a_gateway_are_refused_for_others() -> Result<()> {
    let outcome = load(Name::Floor, &["--workers", "1"]).await?;
    outcome.is_refused("--workers and --set are for gateways");
    Ok(())
}
