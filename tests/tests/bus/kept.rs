//! What the bus keeps for every gateway: one suite for the embedded bus, one NATS server and a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use natter_gateway::bus::{Changes, Keep, KeepError, Mark};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;

use crate::support::{LIMIT, Node, config};

const HOUR: Duration = Duration::from_hours(1);

fn value(key: &str, text: &str) -> Keep {
    Keep {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(text.as_bytes()),
        ttl: HOUR,
        only_after: None,
    }
}

async fn changes(node: &Node, since: Option<&Mark>) -> Result<Changes> {
    Ok(node.bus.changes(since.cloned()).await?)
}

/// Values by key, as text.
fn texts(changes: &Changes) -> BTreeMap<String, String> {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    let kept = changes.kept.iter();
    kept.map(|kept| (kept.key.clone(), text(&kept.value))).collect()
}

/// Whatever one node keeps, the other is told when it asks for it, once.
async fn what_is_kept_is_told(writer: &Node, reader: &Node) -> Result<()> {
    let empty = changes(reader, None).await?;
    ensure!(empty.since.is_none() && empty.kept.is_empty(), "{empty:?}");
    let mut last = empty.mark.sequence;
    for (key, text) in [("a.b-c_=", "1"), ("b", "2"), ("a.b-c_=", "3")] {
        let Mark { epoch, sequence, .. } = writer.bus.keep(value(key, text)).await?;
        ensure!(epoch == empty.mark.epoch, "{epoch} is another store");
        ensure!(sequence == last + 1, "{sequence} after {last}");
        last = sequence;
    }
    let told = changes(reader, Some(&empty.mark)).await?;
    ensure!(
        told.since == Some(empty.mark.sequence) && told.mark.sequence == last,
        "{told:?}"
    );
    let expected = [("a.b-c_=", "3"), ("b", "2")];
    let expected: BTreeMap<_, _> = expected.map(|(key, text)| (key.into(), text.into())).into();
    assert_eq!(texts(&told), expected);
    assert_eq!(texts(&changes(reader, None).await?), expected);
    let nothing = changes(reader, Some(&told.mark)).await?;
    ensure!(
        nothing.kept.is_empty() && nothing.mark == told.mark,
        "{nothing:?}"
    );

    // One that has a value stays as it is, one that has none gets one.
    let first = |key| Keep {
        only_after: Some(0),
        ..value(key, "new")
    };
    assert_eq!(writer.bus.keep(first("b")).await?.sequence, 0);
    assert_eq!(writer.bus.keep(first("c")).await?.sequence, last + 1);
    writer.bus.keep(value("b", "")).await?;
    let told = changes(reader, Some(&told.mark)).await?;
    let expected = [("b", ""), ("c", "new")];
    assert_eq!(
        texts(&told),
        expected.map(|(key, text)| (key.into(), text.into())).into()
    );
    Ok(())
}

/// Also more than one question to a replica brings.
async fn many_are_told(writer: &Node, reader: &Node, count: usize) -> Result<()> {
    let before = changes(reader, None).await?.mark;
    for number in 0..count {
        writer.bus.keep(value(&format!("many.{number}"), "x")).await?;
    }
    let told = changes(reader, Some(&before)).await?;
    assert_eq!(texts(&told).len(), count);
    Ok(())
}

async fn what_ends_is_forgotten(writer: &Node, reader: &Node) -> Result<()> {
    let short = Keep {
        ttl: Duration::from_secs(1),
        ..value("short", "1")
    };
    writer.bus.keep(short).await?;
    eventually("it is forgotten", LIMIT, async || {
        let kept = texts(&changes(reader, None).await?);
        ensure!(!kept.contains_key("short"), "{kept:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_embedded_bus_keeps() -> Result<()> {
    let node = Node::embedded()?;
    what_is_kept_is_told(&node, &node).await?;
    many_are_told(&node, &node, 3_000).await?;
    what_ends_is_forgotten(&node, &node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_nats_server_keeps() -> Result<()> {
    let server = NatsServer::builder().jetstream().start().await?;
    let writer = Node::nats(config(&server.url(), "two")?).await?;
    let reader = Node::nats(config(&server.url(), "two")?).await?;
    what_is_kept_is_told(&writer, &reader).await?;
    many_are_told(&writer, &reader, 1_500).await?;
    what_ends_is_forgotten(&writer, &reader).await?;
    let kept = texts(&changes(&reader, None).await?);
    server.kill()?;
    server.restart().await?;
    // The answer may have to wait for the connection.
    eventually("it is all there after a crash", LIMIT, async || {
        let now = texts(&changes(&reader, None).await?);
        ensure!(now == kept, "{} of {}", now.len(), kept.len());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_and_answers_alike_everywhere() -> Result<()> {
    let cluster = NatsServer::builder().jetstream().start_cluster(3).await?;
    let (first, last) = (cluster.node(0)?.url(), cluster.node(2)?.url());
    let writer = Node::nats(config(&first, "cluster")?).await?;
    let reader = Node::nats(config(&last, "cluster")?).await?;
    // A leader may have to be chosen first.
    eventually("the bucket is there", LIMIT, async || {
        changes(&reader, None).await.map(drop)
    })
    .await?;
    what_is_kept_is_told(&writer, &reader).await?;
    // Whoever has been answered is followed by whoever asks, whichever server it asks.
    for number in 0..50 {
        let sequence = writer
            .bus
            .keep(value("same", &number.to_string()))
            .await?
            .sequence;
        let told = changes(&reader, None).await?;
        ensure!(told.mark.sequence >= sequence, "{told:?}");
        assert_eq!(
            texts(&told).get("same").map(String::as_str),
            Some(number.to_string().as_str())
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_jetstream_nothing_is_kept() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "none")?).await?;
    assert_eq!(node.bus.keep(value("a", "1")).await, Err(KeepError::Unavailable));
    assert_eq!(node.bus.changes(None).await.err(), Some(KeepError::Unavailable));
    Ok(())
}
