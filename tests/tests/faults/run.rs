//! The run: writers and readers on three gateways and three servers while these die in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::chaos::Chaos;
use crate::ledger::{Ledger, Outcome};
use crate::reader::Reader;
use crate::scene::{LIMIT, Scene};
use crate::writer::{WRITERS, Writer};
use crate::{number, verdict};

/// Two at home at each gateway, as long as it lives.
const READERS: usize = 6;
/// What a run has at least.
const FAULTS: usize = 30;
const MESSAGES: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_holds_exactly_what_was_acknowledged_whatever_dies() -> Result<()> {
    let seed = number("NATTER_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let least = Duration::from_secs(number("NATTER_FAULTS_SECONDS").unwrap_or(0));
    eprintln!("NATTER_FAULTS_SEED={seed}");
    let scene = Arc::new(Scene::start().await?);
    let ledger = Arc::new(Ledger::default());
    let mut tasks = JoinSet::new();
    let readers = readers(&scene, &ledger, seed, &mut tasks).await?;
    let mut writers = JoinSet::new();
    for number in 0..WRITERS.len() {
        let seed = seed.wrapping_add(1_000 + number as u64);
        writers.spawn(Writer::new(number, &scene, &ledger, seed)?.run());
    }
    tasks.spawn(keep_books(scene.clone(), ledger.clone()));
    let mut chaos = Chaos::new(&scene, &ledger, &readers, seed);
    let began = Instant::now();
    let mut stuck = Ok(());
    while stuck.is_ok() && (chaos.faults < FAULTS || ledger.count() < MESSAGES || began.elapsed() < least) {
        stuck = chaos.round().await;
    }
    ledger.stop();
    if timeout(2 * LIMIT, writers.join_all()).await.is_err() {
        ledger.problem("a writer does not end");
    }
    let stored = verdict::settle(&scene, &readers).await?;
    verdict::judge(&ledger, &stored, &readers);
    report(&ledger, chaos.faults, began.elapsed());
    let problems = ledger.problems();
    ensure!(
        problems.is_empty(),
        "seed {seed}: {} problems, first {:#?}",
        problems.len(),
        &problems[..problems.len().min(10)]
    );
    stuck
}

/// Adds up what every living gateway counts, all the time.
async fn keep_books(scene: Arc<Scene>, ledger: Arc<Ledger>) {
    let mut pause = interval(Duration::from_millis(200));
    loop {
        pause.tick().await;
        for (number, site) in scene.sites.iter().enumerate() {
            // A gateway that is dead just now has nothing to add up.
            let Ok(metrics) = site.gateway.metrics().await else {
                continue;
            };
            ledger.scrapes.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = metrics.balance() {
                ledger.problem(format!("gateway {number}: {error:#}"));
            }
        }
    }
}

/// Readers that are in every room.
async fn readers(
    scene: &Arc<Scene>,
    ledger: &Arc<Ledger>,
    seed: u64,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<Arc<Reader>>> {
    let readers: Vec<_> = (0..READERS)
        .map(|number| Reader::new(number, scene, ledger, seed.wrapping_add(number as u64)))
        .collect();
    for reader in &readers {
        tasks.spawn(reader.clone().run());
    }
    eventually("every reader is in every room", LIMIT, async || {
        readers.iter().all(|reader| reader.is_in())
    })
    .await?;
    Ok(readers)
}

fn report(ledger: &Ledger, faults: usize, took: Duration) {
    let entries = ledger.entries.lock();
    let unknown = entries
        .values()
        .filter(|entry| entry.outcome == Outcome::Unknown)
        .count();
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} messages acknowledged, {unknown} unknown, {faults} faults in {:.0} s; {} retries, {} repeats; {} recoveries \
         brought {} messages, {} joins refused, {} positions lost; the books balanced in {} scrapes",
        entries.len() - unknown,
        took.as_secs_f32(),
        read(&ledger.retries),
        read(&ledger.repeats),
        read(&ledger.recoveries),
        read(&ledger.recovered),
        read(&ledger.refused_joins),
        read(&ledger.lost_positions),
        read(&ledger.scrapes)
    );
}
