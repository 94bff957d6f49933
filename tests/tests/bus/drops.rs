//! A worker that is full fills the queue of a durable room, and what comes then is dropped. Nothing of it is lost, not even
//! the last message, which nothing after it would show.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use natter_gateway::bus::{Bus, BusEvents, BusStatus, Nats, Overloaded};
use natter_gateway::channel::Channel;
use natter_gateway::config::HistoryOptions;
use natter_gateway::history::{HistoryPolicy, Position};
use natter_gateway::metrics::Metrics;
use natter_gateway::publication::Publication;
use natter_tests::gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::support::{LIMIT, config};
use uuid::Uuid;

/// Less than the 30 s between two turns over all rooms, which would find it too.
const SOON: Duration = Duration::from_secs(15);

/// Messages that wait; the answer of a read of what was dropped must fit in the client too.
const CAPACITY: usize = 256;
const MESSAGES: usize = CAPACITY + 100;

/// Takes publications while it is not full.
struct Gated {
    full: AtomicBool,
    publications: mpsc::UnboundedSender<u64>,
}

impl BusEvents for Gated {
    fn publication(&self, _: &str, publication: Publication) -> Result<(), Overloaded> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Overloaded);
        }
        let _ = self.publications.send(publication.offset);
        Ok(())
    }

    fn control(&self, _: Bytes) {}
    fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

    fn removed(&self, _: &str) {}
    fn lost(&self, _: &str, _: Position) {}
}

fn value(metrics: &Metrics, name: &str, label: (&str, &str)) -> Result<f64> {
    let metrics = gateway::Metrics::parse(&metrics.encode()?)?;
    Ok(metrics.value(name, &[label]).unwrap_or(0.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dropped_is_found_again() -> Result<()> {
    let server = NatsServer::builder().jetstream().start().await?;
    let mut settings = config(&server.url(), "drops")?;
    settings.subscription_capacity = CAPACITY;
    let (publications, mut received) = mpsc::unbounded_channel();
    let events = Arc::new(Gated {
        full: AtomicBool::new(false),
        publications,
    });
    let metrics = Metrics::new()?;
    let bus = Nats::connect(settings, events.clone(), metrics.bus.clone()).await?;
    let mut status = bus.status();
    timeout(LIMIT, status.wait_for(|status| *status == BusStatus::Up)).await??;
    let policy = Arc::new(HistoryPolicy {
        namespace: "chat".into(),
        options: HistoryOptions {
            size: 1_000,
            ..HistoryOptions::default()
        },
    });
    bus.prepare(vec![policy.clone()]);
    bus.subscribe(Channel::from("chat:a"), Some(policy.clone()))
        .await?;
    // The look after the join must not be what finds it.
    eventually("the head was looked at after the join", LIMIT, async || {
        let joins = value(&metrics, "natter_head_checks_total", ("reason", "join"))?;
        ensure!(joins > 0.5, "{joins}");
        Ok(())
    })
    .await?;

    let stored = fill(&bus, &policy, &events, &metrics).await?;
    let began = Instant::now();
    for offset in stored {
        let next = timeout(LIMIT, received.recv()).await;
        assert_eq!(next.context("it does not come")?, Some(offset));
    }
    ensure!(began.elapsed() < SOON, "found after {:?} only", began.elapsed());
    assert!(value(&metrics, "natter_head_checks_total", ("reason", "drop"))? > 0.5);
    assert!(received.try_recv().is_err(), "each once");
    Ok(())
}

/// Publishes while nothing is taken, until the last message was dropped.
async fn fill(
    bus: &Nats,
    policy: &Arc<HistoryPolicy>,
    events: &Gated,
    metrics: &Metrics,
) -> Result<Vec<u64>> {
    events.full.store(true, Ordering::SeqCst);
    let mut stored = Vec::new();
    for number in 0..MESSAGES {
        let publication = Publication::new(number.to_string());
        let receipt = bus.store("chat:a", policy, &publication, None).await?;
        stored.push(receipt.position.offset);
    }
    // One is on its way to the worker; the live copy comes before the acknowledgement.
    eventually("what was dropped is counted", LIMIT, async || {
        let dropped = value(metrics, "natter_bus_errors_total", ("kind", "slow_consumer"))?;
        ensure!(dropped > 98.5, "{dropped}");
        Ok(())
    })
    .await?;
    events.full.store(false, Ordering::SeqCst);
    Ok(stored)
}
