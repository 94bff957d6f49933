use futures_util::{StreamExt, future::join_all};

use super::*;
use crate::{
    bus::BusError,
    config::Discard,
    history::{Receipt, StoreError},
};

async fn store(setup: &Setup, body: &str, key: Option<&str>) -> Result<Receipt, StoreError> {
    let publication = Publication::new(body.to_owned());
    setup.jetstream.store(&setup.room(), &publication, key).await
}

#[tokio::test]
async fn calls_are_stored_in_their_order_and_read_back() {
    let setup = Setup::new(|options| options.size = 1_000).await;
    let room = setup.room();
    let mut sent = publication(0);
    sent.info = Some(r#"{"user":"42"}"#.into());
    let receipt = setup.jetstream.store(&room, &sent, None).await.unwrap();
    assert_eq!(receipt.position.epoch, room.partition.epoch);
    assert!(!receipt.repeated);
    let sequences = setup.fill(&room, 500).await;
    assert!(sequences.is_sorted());

    let page = setup.page(&room, None, 1_000, false).await;
    sent.offset = receipt.position.offset;
    assert_eq!(*page.publications[0], sent);
    let bodies: Vec<_> = page.publications[1..]
        .iter()
        .map(|publication| publication.data.clone())
        .collect();
    let expected: Vec<_> = (1..=500).map(|number| publication(number).data).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_key_is_stored_once_and_only_with_one_body() {
    let setup = Setup::new(|_| {}).await;
    let long = "k".repeat(10_240);
    for key in ["key", long.as_str()] {
        let first = store(&setup, "1", Some(key)).await.unwrap();
        let again = store(&setup, "1", Some(key)).await.unwrap();
        assert_eq!(first.position, again.position);
        assert!(!first.repeated && again.repeated);
        assert_eq!(store(&setup, "2", Some(key)).await, Err(StoreError::KeyReused));
    }
    let other_room = setup.streams.room("chat:other");
    let elsewhere = setup.jetstream.store(&other_room, &publication(1), Some("key"));
    assert!(!elsewhere.await.unwrap().repeated);
}

/// Two gateways on one server: the one that stored the message remembers its body, the other cannot know.
#[tokio::test]
async fn a_key_whose_message_is_gone_answers_as_a_repeat() {
    let setup = Setup::new(|_| {}).await;
    let first = store(&setup, "1", Some("key")).await.unwrap();
    purge(&setup.jetstream, &setup.room()).await;
    let again = store(&setup, "1", Some("key")).await.unwrap();
    assert_eq!((&again.position, again.repeated), (&first.position, true));
    assert_eq!(store(&setup, "2", Some("key")).await, Err(StoreError::KeyReused));

    let other = connect(&setup.server.url()).await;
    for body in [2, 1] {
        let again = other.store(&setup.room(), &publication(body), Some("key"));
        let again = again.await.unwrap();
        assert_eq!((&again.position, again.repeated), (&first.position, true));
    }
}

#[tokio::test]
async fn a_full_stream_and_a_large_message_are_refused() {
    let setup = Setup::new(|options| {
        options.stream.max_bytes = Some(4_096);
        options.stream.discard = Discard::New;
    })
    .await;
    let body = format!("\"{}\"", "x".repeat(1_500));
    store(&setup, &body, None).await.unwrap();
    store(&setup, &body, None).await.unwrap();
    assert_eq!(store(&setup, &body, None).await, Err(StoreError::Full));
    assert_eq!(
        setup
            .page(&setup.room(), None, 10, false)
            .await
            .publications
            .len(),
        2
    );
    let huge = "x".repeat(2 << 20);
    assert_eq!(store(&setup, &huge, None).await, Err(BusError::TooLarge.into()));
}

#[tokio::test]
async fn a_missing_stream_stores_nothing_and_says_so() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    admin(
        &setup.jetstream,
        "STREAM.DELETE",
        &room.partition.stream,
        Value::Null,
    )
    .await;
    assert_eq!(store(&setup, "1", None).await, Err(BusError::Disconnected.into()));
    assert_eq!(
        setup.jetstream.page(&room, &WHOLE, 0).await,
        Err(BusError::Disconnected)
    );
    assert_eq!(setup.jetstream.head(&room).await, Err(BusError::Disconnected));
}

#[tokio::test]
async fn publications_under_way_are_bounded() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let kept = setup
        .jetstream
        .in_flight
        .clone()
        .acquire_many_owned(u32::try_from(IN_FLIGHT).unwrap() - 1)
        .await
        .unwrap();
    let first = setup.jetstream.store(&room, &publication(1), None);
    let second = setup.jetstream.store(&room, &publication(2), None);
    assert_eq!(second.await, Err(BusError::Overloaded.into()));
    first.await.unwrap();
    drop(kept);
    store(&setup, "3", None).await.unwrap();
}

#[tokio::test]
async fn a_frozen_server_is_an_error_in_time() {
    let mut setup = Setup::new(|_| {}).await;
    setup.jetstream.limits.store = Duration::from_millis(200);
    setup.jetstream.limits.request = Duration::from_millis(200);
    setup.server.freeze();
    assert_eq!(store(&setup, "1", None).await, Err(BusError::Timeout.into()));
    assert_eq!(setup.jetstream.head(&setup.room()).await, Err(BusError::Timeout));
    assert_eq!(
        setup.jetstream.page(&setup.room(), &WHOLE, 0).await,
        Err(BusError::Timeout)
    );
    assert!(setup.jetstream.requests.is_idle(), "every wait has ended");
}

#[tokio::test]
async fn live_copies_tell_their_place_before_the_acknowledgement() {
    let setup = Setup::new(|_| {}).await;
    let room = setup.room();
    let client = &setup.jetstream.client;
    let mut live = client.subscribe(room.live.clone()).await.unwrap();
    let mut tracker = Tracker::new(setup.jetstream.head(&room).await.unwrap());
    join_all((1..=50).map(|number| setup.jetstream.store(&room, &publication(number), None))).await;
    setup.jetstream.remove(&room).await.unwrap();
    for number in 1..=51_u64 {
        let arrival = Arrival::read(&live.next().await.unwrap()).unwrap();
        assert_eq!(tracker.observe(arrival), Verdict::Next, "{arrival:?}");
        assert_eq!((tracker.position(), arrival.marker), (number, number == 51));
    }
}
