//! Live copies: what they say, and when they come.

use anyhow::Result;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use crate::support::{Wire, header, live, next, number, on_every_version, stored};

on_every_version!(
    a_live_copy_carries_its_place_and_all_headers,
    the_live_copy_comes_before_the_acknowledgement,
    a_predecessor_is_of_the_same_room_and_unknown_after_a_purge,
    nobody_hears_what_was_refused,
);

async fn a_live_copy_carries_its_place_and_all_headers(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let mut copies = wire.client.subscribe(live("a")).await?;
    let own = [
        ("Natter-Version", "1"),
        ("Nats-Msg-Id", "key"),
        ("traceparent", "00-1-2-01"),
    ];
    wire.publish("a", &own, "body").await?;
    let message = next(&mut copies).await?;
    assert_eq!(message.payload, "body");
    assert_eq!(message.reply, None);
    for (name, value) in own {
        assert_eq!(
            message
                .headers
                .as_ref()
                .and_then(|headers| headers.get(name))
                .map(async_nats::HeaderValue::as_str),
            Some(value)
        );
    }
    assert_eq!(header(&message, "Nats-Stream"), Some("c_chat_0"));
    assert_eq!(header(&message, "Nats-Subject"), Some(&*stored("a")));
    assert_eq!(number(&message, "Nats-Sequence")?, 1);
    assert_eq!(number(&message, "Nats-Last-Sequence")?, 0);
    assert!(header(&message, "Nats-Time-Stamp").is_some());
    Ok(())
}

/// So whoever has an acknowledgement and asks on the same connection has the live copy before the answer.
async fn the_live_copy_comes_before_the_acknowledgement(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let inbox = wire.client.new_inbox();
    // One subscription for both, so that their order is that of the wire.
    let mut both = wire.client.subscribe(">").await?;
    for number in 0..200_u64 {
        let subject = stored("a");
        wire.client
            .publish_with_reply(subject.clone(), inbox.clone(), number.to_string().into())
            .await?;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let message = next(&mut both).await?;
            let is_live = message.subject.as_str() == live("a");
            if is_live || message.subject.as_str() == inbox {
                seen.push(is_live);
            }
        }
        assert_eq!(seen, [true, false], "message {number}");
    }
    Ok(())
}

async fn a_predecessor_is_of_the_same_room_and_unknown_after_a_purge(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let mut copies = wire.client.subscribe("c.live.chat.0.*").await?;
    let mut last = async |room: &str| -> Result<(u64, u64)> {
        let sequence = wire.store(room, "x").await?;
        let message = next(&mut copies).await?;
        assert_eq!(number(&message, "Nats-Sequence")?, sequence);
        Ok((number(&message, "Nats-Last-Sequence")?, sequence))
    };
    assert_eq!(last("a").await?, (0, 1));
    assert_eq!(last("b").await?, (0, 2));
    assert_eq!(last("a").await?, (1, 3));
    assert_eq!(last("b").await?, (2, 4));
    // More than the room keeps: the predecessor is there all the same.
    for sequence in 5..15 {
        let before = if sequence == 5 { 3 } else { sequence - 1 };
        assert_eq!(last("a").await?, (before, sequence));
    }
    let purged = wire
        .api("STREAM.PURGE", &json!({ "filter": stored("a") }))
        .await?;
    assert_eq!(purged["purged"], 5, "{purged}");
    assert_eq!(last("a").await?, (0, 15));
    assert_eq!(last("b").await?, (4, 16));
    Ok(())
}

async fn nobody_hears_what_was_refused(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({ "max_msg_size": 100 })).await?;
    let mut copies = wire.client.subscribe(live("a")).await?;
    let refused = wire.publish("a", &[], "x".repeat(200)).await?;
    assert_eq!(refused["error"]["err_code"], 10_054, "{refused}");
    let wrong = wire
        .publish("a", &[("Nats-Expected-Stream", "other")], "x")
        .await?;
    assert_eq!(wrong["error"]["err_code"], 10_060, "{wrong}");
    let stored = wire.store("a", "x").await?;
    assert_eq!(number(&next(&mut copies).await?, "Nats-Sequence")?, stored);
    assert!(copies.next().now_or_never().is_none());
    Ok(())
}
