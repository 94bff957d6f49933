//! Three servers, and a stream on all of them: what differs from one server.

use anyhow::{Context, Result, bail, ensure};
use natter_tests::nats::NatsCluster;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{LIMIT, Wire, builder, error, live, next, number, on_every_version, status, stored};

on_every_version!(
    the_probe_is_a_barrier_while_the_room_is_written_to,
    keys_come_before_expectations,
    everything_acknowledged_was_published_live_once_and_in_order,
);

struct Cluster {
    /// Ends with the test.
    _servers: NatsCluster,
    /// One connection to each node.
    wires: Vec<Wire>,
}

impl Cluster {
    async fn start(version: &str) -> Result<Self> {
        let servers = builder(version).start_cluster(3).await?;
        let mut wires = Vec::new();
        for node in servers.nodes() {
            wires.push(Wire::connect(&node.url()).await?);
        }
        let more = json!({ "num_replicas": 3, "max_msgs_per_subject": 10_000 });
        eventually("the cluster takes a stream", LIMIT, async || {
            wires[0].make(&more).await
        })
        .await?;
        eventually("the stream takes messages", LIMIT, async || {
            wires[0].store("first", "x").await
        })
        .await?;
        Ok(Self {
            _servers: servers,
            wires,
        })
    }
}

/// The head of the room, and whether the refusal named it.
async fn probe(reader: &Wire) -> Result<(u64, bool)> {
    let impossible = [("Nats-Expected-Last-Subject-Sequence", "18446744073709551615")];
    let answer = reader.publish("a", &impossible, "").await?;
    match error(&answer) {
        (10_071, text) => {
            let head = text.rsplit(' ').next().unwrap_or_default();
            Ok((head.parse().with_context(|| text.to_owned())?, true))
        }
        (10_164, "wrong last sequence") => {
            let question = json!({ "last_by_subj": stored("a") });
            let found = reader.api("STREAM.MSG.GET", &question).await?;
            Ok((found["message"]["seq"].as_u64().unwrap_or(0), false))
        }
        other => bail!("{other:?}"),
    }
}

/// With publications under way the refusal may leave out the sequence, under a number of its own.
async fn the_probe_is_a_barrier_while_the_room_is_written_to(version: &str) -> Result<()> {
    let cluster = Cluster::start(version).await?;
    let (writer, reader) = (&cluster.wires[0], &cluster.wires[1]);
    let inbox = writer.client.new_inbox();
    let mut acknowledgements = writer.client.subscribe(inbox.clone()).await?;
    let (mut with_head, mut without) = (0, 0);
    for _ in 0..40 {
        for _ in 0..25 {
            writer
                .client
                .publish_with_reply(stored("a"), inbox.clone(), "x".into())
                .await?;
        }
        let mut copies = reader.client.subscribe(live("a")).await?;
        let (head, named) = probe(reader).await?;
        with_head += usize::from(named);
        without += usize::from(!named);
        // All that follows the head is copies, from the first one on.
        let mut last = 0;
        for _ in 0..25 {
            let acknowledged: Value = serde_json::from_slice(&next(&mut acknowledgements).await?.payload)?;
            last = acknowledged["seq"].as_u64().context("stored")?;
        }
        let mut position = head;
        while position < last {
            let message = next(&mut copies).await?;
            let (sequence, before) = (
                number(&message, "Nats-Sequence")?,
                number(&message, "Nats-Last-Sequence")?,
            );
            if sequence > position {
                assert!(before <= position, "{before} is missing after {position}");
                position = sequence;
            }
        }
    }
    eprintln!("{version}: {with_head} refusals named the head, {without} did not");
    Ok(())
}

/// A repeat of something stored is a duplicate, whatever it expects; one server alone looks at the expectation first.
async fn keys_come_before_expectations(version: &str) -> Result<()> {
    let cluster = Cluster::start(version).await?;
    let wire = &cluster.wires[0];
    let first = wire.publish("a", &[("Nats-Msg-Id", "key")], "x").await?;
    let repeat = [
        ("Nats-Msg-Id", "key"),
        ("Nats-Expected-Last-Subject-Sequence", "0"),
    ];
    let again = wire.publish("a", &repeat, "x").await?;
    assert_eq!(
        (&again["seq"], &again["duplicate"]),
        (&first["seq"], &json!(true)),
        "{again}"
    );
    Ok(())
}

async fn everything_acknowledged_was_published_live_once_and_in_order(version: &str) -> Result<()> {
    const MESSAGES: u64 = 500;
    let cluster = Cluster::start(version).await?;
    let mut readers = Vec::new();
    for wire in &cluster.wires {
        let copies = wire.client.subscribe(live("a")).await?;
        wire.publish("a", &[("Nats-Expected-Stream", "-")], "").await?;
        readers.push(copies);
    }
    let writer = &cluster.wires[2];
    let inbox = writer.client.new_inbox();
    let mut acknowledgements = writer.client.subscribe(inbox.clone()).await?;
    for _ in 0..MESSAGES {
        writer
            .client
            .publish_with_reply(stored("a"), inbox.clone(), "x".into())
            .await?;
    }
    let mut acknowledged = Vec::new();
    for _ in 0..MESSAGES {
        let answer: Value = serde_json::from_slice(&next(&mut acknowledgements).await?.payload)?;
        acknowledged.push(answer["seq"].as_u64().with_context(|| answer.to_string())?);
    }
    for reader in &mut readers {
        let mut copies = Vec::new();
        for _ in 0..MESSAGES {
            copies.push(number(&next(reader).await?, "Nats-Sequence")?);
        }
        assert_eq!(copies, acknowledged);
    }
    // A direct read may lag, but comes to the end.
    let question = json!({ "seq": acknowledged[0], "next_by_subj": stored("a"), "batch": 1_000 });
    for wire in &cluster.wires {
        eventually("every replica has everything", LIMIT, async || {
            let (messages, end) = wire.read(&question).await?;
            ensure!(
                messages.len() == acknowledged.len(),
                "{} messages",
                messages.len()
            );
            assert_eq!(status(&end), Some(204));
            Ok(())
        })
        .await?;
    }
    Ok(())
}
