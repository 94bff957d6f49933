use super::*;
use crate::bus::BusError;

/// A room with every third sequence of its stream.
async fn sparse(setup: &Setup, count: usize) -> (StoredRoom, Vec<u64>) {
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    let mut sequences = Vec::new();
    for _ in 0..count {
        setup.fill(&other, 2).await;
        sequences.extend(setup.fill(&room, 1).await);
    }
    (room, sequences)
}

#[tokio::test]
async fn heads_come_from_the_probe_the_replica_and_the_leader() {
    let setup = Setup::new(|_| {}).await;
    let (room, sequences) = sparse(&setup, 3).await;
    let (jetstream, stream) = (&setup.jetstream, &room.partition.stream);
    let head = *sequences.last().unwrap();
    assert_eq!(jetstream.head(&room).await, Ok(head));
    assert_eq!(jetstream.leader_head(&room).await, Ok(head));
    assert_eq!(jetstream.last(stream, &room.subject).await, Ok(Some(head)));
    jetstream.barrier(&room).await.unwrap();

    let empty = setup.streams.room("chat:empty");
    assert_eq!(jetstream.head(&empty).await, Ok(0));
    assert_eq!(jetstream.leader_head(&empty).await, Ok(0));
    assert_eq!(jetstream.last(stream, &empty.subject).await, Ok(None));
    // Neither form of the probe has stored anything.
    assert_eq!(jetstream.head(&room).await, Ok(head));
}

#[tokio::test]
async fn heads_of_many_rooms_come_at_once() {
    let setup = Setup::new(|_| {}).await;
    let rooms: Vec<_> = (0..direct_get::MAX_SUBJECTS)
        .map(|number| setup.streams.room(&format!("chat:{number}")))
        .collect();
    let mut expected = Vec::new();
    for room in rooms.iter().step_by(2) {
        let sequence = setup.fill(room, 1).await[0];
        expected.push((room.subject.clone(), sequence));
    }
    let subjects: Vec<_> = rooms.iter().map(|room| room.subject.as_str()).collect();
    let stream = &rooms[0].partition.stream;
    let heads = setup.jetstream.heads(stream, &subjects).await.unwrap();
    assert_eq!(heads, expected);
    let too_many = [subjects.as_slice(), &["x"]].concat();
    assert_eq!(
        setup.jetstream.heads(stream, &too_many).await,
        Err(BusError::TooLarge)
    );
    assert_eq!(setup.jetstream.heads(stream, &[]).await, Ok(Vec::new()));
}

/// Their bodies are more than one answer carries.
#[tokio::test]
async fn heads_of_rooms_with_large_messages_are_complete() {
    let setup = Setup::new(|_| {}).await;
    let rooms: Vec<_> = (0..120)
        .map(|number| setup.streams.room(&format!("chat:{number}")))
        .collect();
    let large = Publication::new("x".repeat(1 << 19));
    for room in &rooms {
        setup.jetstream.store(room, &large, None).await.unwrap();
    }
    let subjects: Vec<_> = rooms.iter().map(|room| room.subject.as_str()).collect();
    let heads = setup.jetstream.heads(&rooms[0].partition.stream, &subjects);
    assert_eq!(heads.await.unwrap().len(), rooms.len());
}

#[tokio::test]
async fn pages_in_both_directions() {
    let setup = Setup::new(|_| {}).await;
    let (room, all) = sparse(&setup, 20).await;
    let reversed = |range: &[u64]| range.iter().rev().copied().collect::<Vec<_>>();
    for (since, limit, reverse, expected) in [
        (None, 100, false, all.clone()),
        (None, 5, false, all[..5].to_vec()),
        (None, 0, false, vec![]),
        (Some(all[4]), 5, false, all[5..10].to_vec()),
        (Some(all[4]), 100, false, all[5..].to_vec()),
        (Some(all[4]), 0, false, vec![]),
        (Some(all[19]), 5, false, vec![]),
        (Some(0), 3, false, all[..3].to_vec()),
        (None, 100, true, reversed(&all)),
        (None, 5, true, reversed(&all[15..])),
        (None, 0, true, vec![]),
        (Some(all[10]), 5, true, reversed(&all[5..10])),
        (Some(all[10] + 1), 5, true, reversed(&all[6..11])),
        (Some(all[0]), 5, true, vec![]),
        (Some(1_000), 2, true, Vec::new()),
    ] {
        let page = setup.page(&room, since, limit, reverse).await;
        assert_eq!(offsets(&page), expected, "{since:?} {limit} {reverse}");
        assert_eq!(page.head.offset, all[19]);
        assert!(page.complete, "{since:?} {limit} {reverse}");
    }
}

#[tokio::test]
async fn an_empty_room_is_complete_from_its_start() {
    let setup = Setup::new(|_| {}).await;
    for since in [None, Some(0)] {
        let page = setup.page(&setup.room(), since, 10, false).await;
        assert_eq!(
            (offsets(&page), page.head.offset, page.complete),
            (vec![], 0, true)
        );
    }
    let page = setup.page(&setup.room(), None, 10, true).await;
    assert_eq!(offsets(&page), Vec::<u64>::new());
}

#[tokio::test]
async fn eviction_is_never_taken_for_a_complete_page() {
    let setup = Setup::new(|options| options.size = 10).await;
    let room = setup.room();
    let all = setup.fill(&room, 30).await;
    for (since, complete) in [
        (0, false),
        (all[0], false),
        (all[18], false),
        // It is gone itself, and nothing after it.
        (all[19], true),
        (all[20], true),
        (all[29], true),
        // From the future.
        (all[29] + 5, false),
    ] {
        let page = setup.page(&room, Some(since), 100, false).await;
        assert_eq!(page.complete, complete, "{since}");
        assert_eq!(page.head.offset, all[29]);
    }
    for (after, until, complete) in [
        (all[20], all[22], true),
        (all[19], all[22], true),
        (all[18], all[22], false),
        (0, all[22], false),
    ] {
        let range = setup
            .jetstream
            .read_range(&room, after, until, true)
            .await
            .unwrap();
        assert_eq!((range.complete, range.reached), (complete, true), "{after}");
        assert_eq!(missed(&range), all[20.max(place(&all, after))..23]);
    }
    let range = setup
        .jetstream
        .read_range(&room, all[5], all[22], false)
        .await
        .unwrap();
    assert_eq!((missed(&range), range.complete), (all[20..23].to_vec(), true));
}

/// The number of messages up to this sequence.
fn place(all: &[u64], sequence: u64) -> usize {
    all.iter().filter(|&&other| other <= sequence).count()
}

/// The sequences of publications in a range; nothing else may be in it.
fn missed(range: &Range) -> Vec<u64> {
    let sequence = |missed: &Missed| match missed {
        Missed::Publication(publication) => publication.offset,
        Missed::Removal(sequence) => panic!("a removal at {sequence}"),
    };
    range.missed.iter().map(sequence).collect()
}

#[tokio::test]
async fn a_young_room_is_complete_from_its_start_while_its_stream_is() {
    let setup = Setup::new(|options| options.size = 10).await;
    let room = setup.room();
    let all = setup.fill(&room, 9).await;
    let page = setup.page(&room, Some(0), 100, false).await;
    assert_eq!((offsets(&page), page.complete), (all.clone(), true));
    let range = setup.jetstream.read_range(&room, 0, all[8], true).await.unwrap();
    assert_eq!((missed(&range), range.complete), (all.clone(), true));

    let oldest = json!({ "seq": all[1] });
    admin(&setup.jetstream, "STREAM.PURGE", &room.partition.stream, oldest).await;
    assert!(!setup.page(&room, Some(0), 100, false).await.complete);
}

#[tokio::test]
async fn an_empty_room_is_read_from_where_its_stream_was() {
    let setup = Setup::new(|options| options.size = 10).await;
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    let place = setup.fill(&other, 3).await[1];
    let read = async || {
        let page = setup.page(&room, Some(place), 100, false).await;
        (offsets(&page), page.complete)
    };
    assert_eq!(read().await, (vec![], true));
    let all = setup.fill(&room, 10).await;
    assert_eq!(read().await, (all, true));
    setup.fill(&room, 1).await;
    assert!(!read().await.1, "one has given way");

    let setup = Setup::new(|_| {}).await;
    let (room, other) = (setup.room(), setup.streams.room("chat:other"));
    let place = setup.fill(&other, 3).await[1];
    let read = async || setup.page(&room, Some(place), 100, false).await.complete;
    setup.fill(&room, 3).await;
    assert!(read().await);
    setup.jetstream.remove(&room).await.unwrap();
    assert!(!read().await, "some was removed");
    let until = json!({ "seq": place + 1 });
    let (stream, room) = (&room.partition.stream, setup.streams.room("chat:third"));
    admin(&setup.jetstream, "STREAM.PURGE", stream, until).await;
    let page = setup.page(&room, Some(place), 100, false).await;
    assert!(!page.complete, "what came then may be gone as well");
}

#[tokio::test]
async fn what_a_smaller_stream_has_lost_is_missed_in_a_larger_one() {
    let setup = Setup::new(|options| options.size = 2).await;
    setup.fill(&setup.streams.room("chat:first"), 1).await;
    setup.fill(&setup.room(), 5).await;
    let larger = setup.jetstream.ensure(&policy(|_| {})).await.unwrap();
    let page = setup.page(&larger.room("chat:lobby"), Some(0), 100, false).await;
    assert!(!page.complete);
}

#[tokio::test]
async fn a_removed_room_keeps_its_position() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    setup.jetstream.remove(&room).await.unwrap();
    assert_eq!(setup.jetstream.head(&room).await, Ok(0), "nothing to remove");

    let all = setup.fill(&room, 5).await;
    setup.jetstream.remove(&room).await.unwrap();
    let page = setup.page(&room, None, 10, false).await;
    assert_eq!(offsets(&page), Vec::<u64>::new());
    let marker = page.head.offset;
    assert!(marker > all[4]);
    assert!(setup.page(&room, Some(marker), 10, false).await.complete);
    assert!(setup.page(&room, Some(all[4]), 10, false).await.complete);
    assert!(!setup.page(&room, Some(all[3]), 10, false).await.complete);
    assert!(!setup.page(&room, Some(0), 10, false).await.complete);

    let next = setup.fill(&room, 1).await;
    let page = setup.page(&room, Some(marker), 10, false).await;
    assert_eq!((offsets(&page), page.complete), (next.clone(), true));
    assert_eq!(offsets(&setup.page(&room, None, 10, true).await), next);
}

#[tokio::test]
async fn a_large_room_is_read_in_batches_and_from_its_end() {
    let setup = Setup::new(|options| options.size = 10_000).await;
    let room = setup.room();
    let all = setup.fill(&room, 3_500).await;
    let page = setup.page(&room, Some(all[9]), 3_000, false).await;
    assert_eq!(offsets(&page), all[10..3_010]);
    let page = setup.page(&room, None, 20, true).await;
    assert_eq!(
        offsets(&page),
        all[3_480..].iter().rev().copied().collect::<Vec<_>>()
    );
    let page = setup.page(&room, Some(all[1_000]), 20, true).await;
    assert_eq!(
        offsets(&page),
        all[980..1_000].iter().rev().copied().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_message_larger_than_a_batch_is_read_alone() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let all = setup.fill(&room, 2).await;
    let batch = setup
        .jetstream
        .read(&room.partition.stream, &room.subject, 0, 10, 1);
    let batch = batch.await.unwrap();
    assert_eq!((batch.messages[0].sequence, batch.more), (all[0], true));
}

#[tokio::test]
async fn messages_of_others_are_passed_over() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let all = setup.fill(&room, 1).await;
    let client = &setup.jetstream.client;
    client
        .request(room.subject.clone(), "not ours".into())
        .await
        .unwrap();
    let page = setup.page(&room, Some(all[0]), 10, false).await;
    assert_eq!((offsets(&page), page.head.offset), (vec![], all[0] + 1));
}
