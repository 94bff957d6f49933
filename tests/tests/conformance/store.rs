//! Publications and what a stream does with them: acknowledgements, keys, limits, purges.

use anyhow::Result;
use serde_json::json;

use crate::support::{STREAM, Wire, on_every_version, sequences, stored};

on_every_version!(
    a_key_is_stored_once_in_the_whole_stream,
    a_key_that_was_refused_can_be_used,
    a_restart_forgets_the_keys_of_messages_that_are_gone,
    a_room_keeps_its_newest_and_forgets_in_silence,
    a_full_stream_refuses_when_new_messages_give_way,
    a_purge_up_to_a_sequence_keeps_the_marker,
    settings_can_be_changed_back,
);

async fn a_key_is_stored_once_in_the_whole_stream(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let key = [("Nats-Msg-Id", "key")];
    let first = wire.publish("a", &key, "1").await?;
    assert_eq!((&first["stream"], &first["seq"]), (&json!(STREAM), &json!(1)));
    assert_eq!(first.get("duplicate"), None, "{first}");
    // Another room and another body make no difference: the gateway puts the room into the id, and compares bodies.
    for room in ["a", "b"] {
        let again = wire.publish(room, &key, "2").await?;
        assert_eq!(
            (&again["seq"], &again["duplicate"]),
            (&json!(1), &json!(true)),
            "{again}"
        );
    }
    // Neither does a purge.
    wire.api("STREAM.PURGE", &json!({ "filter": stored("a") }))
        .await?;
    let again = wire.publish("a", &key, "1").await?;
    assert_eq!(
        (&again["seq"], &again["duplicate"]),
        (&json!(1), &json!(true)),
        "{again}"
    );
    assert_eq!(wire.count().await?, 0);
    Ok(())
}

async fn a_key_that_was_refused_can_be_used(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({ "max_msg_size": 100 })).await?;
    let key = [("Nats-Msg-Id", "key")];
    let refused = wire.publish("a", &key, "x".repeat(200)).await?;
    assert_eq!(refused["error"]["err_code"], 10_054, "{refused}");
    let taken = wire.publish("a", &key, "x").await?;
    assert_eq!(
        (&taken["seq"], taken.get("duplicate")),
        (&json!(1), None),
        "{taken}"
    );
    Ok(())
}

/// The server makes its table of keys anew from the messages that it still has.
async fn a_restart_forgets_the_keys_of_messages_that_are_gone(version: &str) -> Result<()> {
    let limits = json!({ "max_msgs_per_subject": 2, "duplicate_window": 300_000_000_000_u64, "max_age": 0 });
    let wire = Wire::start(version, &limits).await?;
    for (key, body) in [("gone", "1"), ("other", "2"), ("kept", "3")] {
        wire.publish("a", &[("Nats-Msg-Id", key)], body).await?;
    }
    let again = wire.publish("a", &[("Nats-Msg-Id", "gone")], "1").await?;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));

    let wire = wire.after_a_crash().await?;
    let again = wire.publish("a", &[("Nats-Msg-Id", "kept")], "3").await?;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(3), &json!(true)));
    let again = wire.publish("a", &[("Nats-Msg-Id", "gone")], "1").await?;
    assert_eq!(
        (&again["seq"], again.get("duplicate")),
        (&json!(4), None),
        "{again}"
    );
    Ok(())
}

async fn a_room_keeps_its_newest_and_forgets_in_silence(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({ "max_msgs_per_subject": 2 })).await?;
    for room in ["a", "b", "a", "a", "b", "a"] {
        wire.store(room, room).await?;
    }
    for (room, kept) in [("a", [4, 6]), ("b", [2, 5])] {
        let question = json!({ "seq": 1, "next_by_subj": stored(room), "batch": 10 });
        assert_eq!(sequences(&wire.read(&question).await?.0)?, kept);
    }
    Ok(())
}

async fn a_full_stream_refuses_when_new_messages_give_way(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({ "max_bytes": 2_000, "discard": "new" })).await?;
    let body = "x".repeat(500);
    let mut acknowledged = 0;
    let refused = loop {
        let answer = wire.publish("a", &[], body.clone()).await?;
        if answer.get("error").is_some() {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 10, "the limit holds");
    };
    assert_eq!(refused["error"]["err_code"], 10_077, "{refused}");
    assert_eq!(wire.count().await?, acknowledged, "all that was acknowledged");
    wire.api("STREAM.PURGE", &json!({})).await?;
    assert_eq!(wire.store("a", &body).await?, acknowledged + 1, "sequences go on");
    Ok(())
}

async fn a_purge_up_to_a_sequence_keeps_the_marker(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    for room in ["a", "b", "a"] {
        wire.store(room, room).await?;
    }
    let marker = wire.store("a", "").await?;
    let purged = wire
        .api("STREAM.PURGE", &json!({ "filter": stored("a"), "seq": marker }))
        .await?;
    assert_eq!(purged["purged"], 2, "{purged}");
    let (left, _) = wire
        .read(&json!({ "multi_last": ["c.msg.chat.0.>"], "batch": 10 }))
        .await?;
    assert_eq!(sequences(&left)?, [2, marker]);
    Ok(())
}

/// What a gateway sets right when somebody edits its stream.
async fn settings_can_be_changed_back(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let original = wire.api("STREAM.INFO", &json!(null)).await?;
    for (name, value) in [
        ("republish", json!(null)),
        ("subjects", json!(["elsewhere.>"])),
        (
            "subject_transform",
            json!({ "src": "c.msg.chat.0.*", "dest": "c.msg.chat.0.x.{{wildcard(1)}}" }),
        ),
        ("allow_direct", json!(false)),
        ("max_msgs_per_subject", json!(1)),
        ("max_msgs", json!(10)),
        ("max_age", json!(120_000_000_000_u64)),
        ("discard", json!("new")),
        ("no_ack", json!(true)),
        ("metadata", json!({})),
    ] {
        let mut edited = original["config"].clone();
        edited[name] = value;
        for config in [&edited, &original["config"]] {
            let changed = wire.api("STREAM.UPDATE", config).await?;
            assert_eq!(changed.get("error"), None, "{name}: {changed}");
        }
        let now = wire.api("STREAM.INFO", &json!(null)).await?;
        assert_eq!(now["config"], original["config"], "{name}");
        assert_eq!(now["created"], original["created"], "the epoch stays");
    }
    Ok(())
}
