//! Messages that are gone, by age, by size, by hand or by a removal: a read that lacks them says so.

use std::ops::ControlFlow;

use super::*;

/// Bound of a wait for messages to expire.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits until the room has no message.
async fn emptied(setup: &Setup, room: &StoredRoom) {
    let empty = async {
        while setup.jetstream.head(room).await != Ok(0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, empty).await.expect("the messages go");
}

/// Where somebody stands who joins now.
async fn position(setup: &Setup, room: &StoredRoom) -> u64 {
    let reached = setup.jetstream.newest_sequence(&room.partition).await.unwrap();
    match setup.jetstream.head(room).await.unwrap() {
        0 => reached,
        head => head,
    }
}

async fn complete(setup: &Setup, room: &StoredRoom, since: u64) -> bool {
    setup.page(room, Some(since), 100, false).await.complete
}

/// Changes settings of a room's stream by hand.
async fn edit(setup: &Setup, room: &StoredRoom, name: &str, value: Value) {
    let stream = &room.partition.stream;
    let mut config = admin(&setup.jetstream, "STREAM.INFO", stream, Value::Null).await["config"].take();
    config[name] = value;
    admin(&setup.jetstream, "STREAM.UPDATE", stream, config).await;
}

/// Of an emptied room with these former sequences: its position is beyond them, and no former one leads to it.
async fn assert_nothing_leads_here(setup: &Setup, room: &StoredRoom, former: &[u64]) {
    let empty = position(setup, room).await;
    assert!(empty >= *former.last().unwrap());
    // Whoever has the last of them lacks nothing.
    let gone = &former[..former.len() - 1];
    for since in gone {
        assert!(!complete(setup, room, *since).await, "{since}");
    }
    assert!(complete(setup, room, empty).await);
    assert!(
        !complete(setup, room, empty + 1).await,
        "there is no such sequence"
    );

    let next = setup.fill(room, 2).await;
    let page = setup.page(room, Some(empty), 100, false).await;
    assert_eq!((offsets(&page), page.complete), (next.clone(), true));
    for since in gone {
        assert!(!complete(setup, room, *since).await, "{since}");
    }
    assert_eq!(position(setup, room).await, next[1]);
}

#[tokio::test]
async fn by_age() {
    let setup = Setup::new(|options| {
        options.ttl = Duration::from_secs(2);
        options.idempotency_window = Duration::from_secs(1);
    })
    .await;
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    let former = setup.fill(&room, 3).await;
    setup.fill(&other, 1).await;
    emptied(&setup, &room).await;
    assert_nothing_leads_here(&setup, &room, &former).await;
}

#[tokio::test]
async fn by_the_size_of_the_stream() {
    let setup = Setup::new(|options| {
        options.size = 10_000;
        options.stream.max_bytes = Some(64 << 10);
    })
    .await;
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    let former = setup.fill(&room, 3).await;
    setup.fill(&other, 1_000).await;
    emptied(&setup, &room).await;
    assert_nothing_leads_here(&setup, &room, &former).await;
}

#[tokio::test]
async fn by_hand() {
    let setup = Setup::new(|_| {}).await;
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    setup.fill(&other, 1).await;
    let empty = position(&setup, &room).await;
    assert!(complete(&setup, &room, empty).await && complete(&setup, &room, 0).await);
    let former = setup.fill(&room, 3).await;
    setup.fill(&other, 1).await;
    purge(&setup.jetstream, &room).await;
    for since in [0, empty] {
        assert!(!complete(&setup, &room, since).await, "{since}");
    }
    assert_nothing_leads_here(&setup, &room, &former).await;
    assert!(!complete(&setup, &room, empty).await);
}

/// The stream still has its first message, and the room has fewer than it may.
#[tokio::test]
async fn by_a_limit_that_was_lower_for_a_while() {
    let setup = Setup::new(|_| {}).await;
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    setup.fill(&other, 1).await;
    let all = setup.fill(&room, 20).await;
    assert!(complete(&setup, &room, 0).await);
    edit(&setup, &room, "max_msgs_per_subject", 5.into()).await;
    edit(&setup, &room, "max_msgs_per_subject", 100.into()).await;
    let page = setup.page(&room, Some(0), 100, false).await;
    assert_eq!((offsets(&page), page.complete), (all[15..].to_vec(), false));
}

/// Reads three messages a request, and has everything before `keep` purged once three were read.
async fn read_across_purge(keep: usize) -> bool {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let all = setup.fill(&room, 10).await;
    let mut seen = Vec::new();
    let read = setup.jetstream.scan(&room, all[2], 3, all[9], |stored| {
        seen.push(stored.sequence);
        if seen.len() == 3 {
            let filter = json!({ "filter": room.subject, "seq": all[keep] });
            let purge = admin(&setup.jetstream, "STREAM.PURGE", &room.partition.stream, filter);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(purge));
        }
        ControlFlow::Continue(())
    });
    let gapless = read.await.unwrap();
    assert_eq!(seen.last(), Some(&all[9]));
    assert!(seen.is_sorted());
    gapless
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_two_requests() {
    assert!(read_across_purge(4).await, "the last that was read is there");
    assert!(!read_across_purge(5).await);
    assert!(!read_across_purge(7).await);
}

/// A message may be as large as a request for many.
#[tokio::test]
async fn large_messages_are_read_to_the_end() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let large = Publication::new("x".repeat(1_000_000));
    let mut all = Vec::new();
    for _ in 0..4 {
        let stored = setup.jetstream.store(&room, &large, None).await.unwrap();
        all.push(stored.position.offset);
    }
    let page = setup.page(&room, Some(all[0]), 100, false).await;
    assert_eq!((offsets(&page), page.complete), (all[1..].to_vec(), true));
}

/// A gap that a removal lies in is no loss; one whose end is gone is.
#[tokio::test]
async fn by_a_removal() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let all = setup.fill(&room, 5).await;
    setup.jetstream.remove(&room).await.unwrap();
    let marker = setup.jetstream.head(&room).await.unwrap();
    let later = setup.fill(&room, 2).await;
    let range = setup
        .jetstream
        .read_range(&room, all[1], later[1], true)
        .await
        .unwrap();
    assert!(range.complete && range.reached);
    let sequences: Vec<_> = range
        .missed
        .iter()
        .map(|missed| match missed {
            Missed::Publication(publication) => (publication.offset, false),
            Missed::Removal(sequence) => (*sequence, true),
        })
        .collect();
    assert_eq!(sequences, [(marker, true), (later[0], false), (later[1], false)]);

    let delete = json!({ "seq": later[1] });
    admin(
        &setup.jetstream,
        "STREAM.MSG.DELETE",
        &room.partition.stream,
        delete,
    )
    .await;
    let range = setup
        .jetstream
        .read_range(&room, later[0], later[1], true)
        .await
        .unwrap();
    assert!(!range.complete && !range.reached);
    let range = setup
        .jetstream
        .read_range(&room, later[0], 1_000, true)
        .await
        .unwrap();
    assert!(!range.complete && !range.reached, "there is no such sequence");
}

#[tokio::test]
async fn while_others_publish() {
    let setup = Setup::new(|options| options.size = 3).await;
    let (room, quiet) = (setup.room(), setup.streams.room("chat:quiet"));
    let (other, busy) = (setup.streams.room("chat:other"), setup.streams.room("chat:busy"));
    let former = setup.fill(&room, 5).await;
    let empty = position(&setup, &quiet).await;
    setup.fill(&other, 2).await;
    setup.fill(&quiet, 1).await;
    let publisher = async {
        loop {
            setup.fill(&busy, 1).await;
        }
    };
    let readers = async {
        let mut intact = 0;
        for _ in 0..100 {
            // The second one is gone as well.
            assert!(!complete(&setup, &room, former[0]).await);
            intact += usize::from(complete(&setup, &quiet, empty).await);
        }
        assert!(intact > 0, "nothing of it is gone");
    };
    tokio::select! {
        () = readers => {}
        () = publisher => {}
    }
}
