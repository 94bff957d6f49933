//! The barrier of a join: a publication that the stream must refuse, in words that the gateway reads.

use anyhow::Result;
use serde_json::json;

use crate::support::{Wire, error, live, next, number, on_every_version};

on_every_version!(
    another_stream_is_refused,
    an_impossible_sequence_is_refused_with_the_true_one,
    a_subscription_before_the_probe_hears_all_that_follows_its_head
);

const IMPOSSIBLE: [(&str, &str); 1] = [("Nats-Expected-Last-Subject-Sequence", "18446744073709551615")];

async fn another_stream_is_refused(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let answer = wire.publish("a", &[("Nats-Expected-Stream", "-")], "").await?;
    assert_eq!(error(&answer).0, 10_060, "{answer}");
    assert_eq!(wire.count().await?, 0, "nothing is stored");
    Ok(())
}

async fn an_impossible_sequence_is_refused_with_the_true_one(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let empty = wire.publish("a", &IMPOSSIBLE, "").await?;
    assert_eq!(error(&empty), (10_071, "wrong last sequence: 0"));
    wire.store("a", "1").await?;
    wire.store("b", "2").await?;
    let head = wire.store("a", "3").await?;
    wire.store("b", "4").await?;
    let mut copies = wire.client.subscribe(live("a")).await?;
    let answer = wire.publish("a", &IMPOSSIBLE, "").await?;
    assert_eq!(error(&answer), (10_071, &*format!("wrong last sequence: {head}")));
    assert_eq!(wire.count().await?, 4, "nothing is stored");
    // Nothing is published either: what is copies next is the next message.
    let after = wire.store("a", "5").await?;
    assert_eq!(number(&next(&mut copies).await?, "Nats-Sequence")?, after);
    // The newest of a room may go by itself: of a hand, or with a time to live.
    wire.api("STREAM.MSG.DELETE", &json!({ "seq": after })).await?;
    let answer = wire.publish("a", &IMPOSSIBLE, "").await?;
    assert_eq!(error(&answer), (10_071, &*format!("wrong last sequence: {head}")));
    Ok(())
}

async fn a_subscription_before_the_probe_hears_all_that_follows_its_head(version: &str) -> Result<()> {
    let reader = Wire::start(version, &json!({})).await?;
    let info = reader.client.server_info();
    let writer = Wire::connect(&format!("nats://{}:{}", info.host, info.port)).await?;
    for _ in 0..50 {
        let mut copies = reader.client.subscribe(live("a")).await?;
        let answer = reader.publish("a", &IMPOSSIBLE, "").await?;
        let (code, text) = error(&answer);
        assert_eq!(code, 10_071, "{answer}");
        let head: u64 = text.rsplit(' ').next().unwrap_or_default().parse()?;
        let stored = writer.store("a", "x").await?;
        let message = next(&mut copies).await?;
        assert_eq!(number(&message, "Nats-Sequence")?, stored);
        assert_eq!(number(&message, "Nats-Last-Sequence")?, head);
    }
    Ok(())
}
