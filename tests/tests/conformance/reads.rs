//! Direct reads: batches, heads, and the ends of both.

use anyhow::Result;
use serde_json::json;

use crate::support::{STREAM, Wire, header, number, on_every_version, sequences, status, stored};

on_every_version!(
    a_batch_brings_one_room_and_says_how_much_is_left,
    a_read_from_a_message_that_is_gone_starts_later,
    heads_of_many_rooms_come_at_once,
    single_reads_find_the_last_and_any_sequence,
    the_leader_knows_the_last_of_a_room,
    nobody_answers_without_direct_reads,
);

async fn a_batch_brings_one_room_and_says_how_much_is_left(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    for _ in 0..5 {
        wire.store("a", "a").await?;
        wire.store("b", "b").await?;
    }
    let question = json!({ "seq": 1, "next_by_subj": stored("a"), "batch": 3, "max_bytes": 1 << 20 });
    let (messages, end) = wire.read(&question).await?;
    assert_eq!(sequences(&messages)?, [1, 3, 5]);
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message.payload, "a");
        assert_eq!(header(message, "Nats-Subject"), Some(&*stored("a")));
        // The one before it in this answer, not in the room.
        let before = if index == 0 {
            0
        } else {
            2 * u64::try_from(index)? - 1
        };
        assert_eq!(number(message, "Nats-Last-Sequence")?, before);
        assert_eq!(number(message, "Nats-Num-Pending")?, 4 - u64::try_from(index)?);
    }
    assert_eq!(status(&end), Some(204));
    assert_eq!(number(&end, "Nats-Num-Pending")?, 2);
    assert_eq!(number(&end, "Nats-Last-Sequence")?, 5);

    let rest = json!({ "seq": 6, "next_by_subj": stored("a"), "batch": 3, "max_bytes": 1 << 20 });
    let (messages, end) = wire.read(&rest).await?;
    assert_eq!(sequences(&messages)?, [7, 9]);
    assert_eq!(number(&end, "Nats-Num-Pending")?, 0);
    let nothing = json!({ "seq": 10, "next_by_subj": stored("a"), "batch": 3 });
    assert_eq!(status(&wire.read(&nothing).await?.1), Some(404));
    let unknown = json!({ "seq": 1, "next_by_subj": stored("none"), "batch": 3 });
    assert_eq!(status(&wire.read(&unknown).await?.1), Some(404));
    Ok(())
}

/// The only sign of an eviction.
async fn a_read_from_a_message_that_is_gone_starts_later(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({ "max_msgs_per_subject": 3 })).await?;
    for _ in 0..5 {
        wire.store("a", "a").await?;
    }
    for (from, found) in [(2, vec![3, 4, 5]), (3, vec![3, 4, 5]), (4, vec![4, 5])] {
        let question = json!({ "seq": from, "next_by_subj": stored("a"), "batch": 10 });
        assert_eq!(sequences(&wire.read(&question).await?.0)?, found);
    }
    Ok(())
}

async fn heads_of_many_rooms_come_at_once(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    for room in ["a", "b", "a", "c"] {
        wire.store(room, room).await?;
    }
    let wanted = ["c", "none", "a", "b"].map(stored);
    let (messages, end) = wire.read(&json!({ "multi_last": wanted, "batch": 4 })).await?;
    assert_eq!(sequences(&messages)?, [2, 3, 4]);
    assert_eq!(header(&messages[0], "Nats-Subject"), Some(&*stored("b")));
    assert_eq!(status(&end), Some(204));
    assert_eq!(number(&end, "Nats-UpTo-Sequence")?, 4);
    let none = json!({ "multi_last": [stored("none")], "batch": 1 });
    assert_eq!(status(&wire.read(&none).await?.1), Some(404));
    Ok(())
}

async fn single_reads_find_the_last_and_any_sequence(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    for body in ["1", "2", "3"] {
        wire.store("a", body).await?;
    }
    let direct = format!("$JS.API.DIRECT.GET.{STREAM}");
    let last = wire.ask(&format!("{direct}.{}", stored("a")), &[], "").await?;
    assert_eq!((number(&last, "Nats-Sequence")?, &*last.payload), (3, &b"3"[..]));
    let second = wire.ask(&direct, &[], json!({ "seq": 2 }).to_string()).await?;
    assert_eq!(
        (number(&second, "Nats-Sequence")?, &*second.payload),
        (2, &b"2"[..])
    );
    for question in [
        wire.ask(&format!("{direct}.{}", stored("none")), &[], "").await?,
        wire.ask(&direct, &[], json!({ "seq": 4 }).to_string()).await?,
    ] {
        assert_eq!(status(&question), Some(404));
    }
    Ok(())
}

async fn the_leader_knows_the_last_of_a_room(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({})).await?;
    let question = json!({ "last_by_subj": stored("a") });
    let none = wire.api("STREAM.MSG.GET", &question).await?;
    assert_eq!(none["error"]["err_code"], 10_037, "{none}");
    wire.store("a", "1").await?;
    let last = wire.store("a", "2").await?;
    wire.store("b", "3").await?;
    let found = wire.api("STREAM.MSG.GET", &question).await?;
    assert_eq!(found["message"]["seq"], last, "{found}");
    assert_eq!(found["message"]["subject"], stored("a"));
    // After a purge nothing is known of the room.
    wire.api("STREAM.PURGE", &json!({ "filter": stored("a") }))
        .await?;
    let none = wire.api("STREAM.MSG.GET", &question).await?;
    assert_eq!(none["error"]["err_code"], 10_037, "{none}");
    Ok(())
}

async fn nobody_answers_without_direct_reads(version: &str) -> Result<()> {
    let wire = Wire::start(version, &json!({ "allow_direct": false })).await?;
    wire.store("a", "1").await?;
    let question = json!({ "seq": 1, "next_by_subj": stored("a"), "batch": 3 });
    assert_eq!(status(&wire.read(&question).await?.1), Some(503));
    Ok(())
}
