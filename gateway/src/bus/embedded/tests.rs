//! The history of the embedded bus, seen from outside.

mod clock;
mod model;
mod threads;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use parking_lot::Mutex;

use super::*;
use crate::{bus::Overloaded, config::HistoryOptions};

/// Takes what the bus delivers, unless it is told that it is full.
#[derive(Default)]
struct Sink {
    delivered: Mutex<Vec<(String, u64)>>,
    full: AtomicBool,
}

impl BusEvents for Sink {
    fn publication(&self, channel: &str, publication: Publication) -> Result<(), Overloaded> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Overloaded);
        }
        self.delivered
            .lock()
            .push((channel.to_owned(), publication.offset));
        Ok(())
    }

    fn control(&self, _message: Bytes) {}

    fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

    fn removed(&self, _: &str) {}

    fn lost(&self, _channel: &str, _position: Position) {
        panic!("the embedded bus loses nothing");
    }
}

/// A bus whose every call is answered at once, as the embedded one does.
struct Rooms {
    bus: Embedded,
    sink: Arc<Sink>,
    policy: Arc<HistoryPolicy>,
}

impl Rooms {
    fn new(size: usize) -> Self {
        let sink = Arc::new(Sink::default());
        Self {
            bus: Embedded::new(uuid::Uuid::nil(), sink.clone()),
            sink,
            policy: policy(HistoryOptions {
                size,
                ..HistoryOptions::default()
            }),
        }
    }

    fn set(&mut self, change: impl FnOnce(&mut HistoryOptions)) {
        let mut options = self.policy.options.clone();
        change(&mut options);
        self.policy = policy(options);
    }

    fn store(&self, room: &str, data: &str, key: Option<&str>) -> Result<Receipt, StoreError> {
        let publication = Publication::new(data.to_owned());
        now(self.bus.store(room, &self.policy, &publication, key))
    }

    /// Stores so many publications and answers the offset of the last.
    fn fill(&self, room: &str, count: usize) -> u64 {
        for n in 0..count {
            self.store(room, &n.to_string(), None).unwrap();
        }
        self.position(room).offset
    }

    fn page(&self, room: &str, since: Option<u64>, limit: usize, reverse: bool) -> Page {
        let query = Query {
            since,
            limit,
            reverse,
        };
        now(self.bus.history(room, &self.policy, query)).unwrap()
    }

    fn kept(&self, room: &str) -> Vec<u64> {
        offsets(&self.page(room, None, usize::MAX, false))
    }

    fn position(&self, room: &str) -> Position {
        self.page(room, None, 0, false).head
    }

    fn remove(&self, room: &str) {
        now(self.bus.remove_history(room, &self.policy)).unwrap();
    }

    fn subscribe(&self, room: &str) -> Position {
        let policy = Some(self.policy.clone());
        now(self.bus.subscribe(room.into(), policy)).unwrap().unwrap()
    }
}

fn policy(options: HistoryOptions) -> Arc<HistoryPolicy> {
    Arc::new(HistoryPolicy {
        namespace: "default".into(),
        options,
    })
}

fn now<T>(answer: BoxFuture<T>) -> T {
    answer.now_or_never().expect("answered at once")
}

fn offsets(page: &Page) -> Vec<u64> {
    page.publications
        .iter()
        .map(|publication| publication.offset)
        .collect()
}

#[tokio::test]
async fn offsets_count_from_one_in_each_room_and_in_the_order_of_delivery() {
    let rooms = Rooms::new(10);
    assert_eq!(rooms.fill("a", 2), 2);
    assert_eq!(rooms.fill("b", 1), 1);
    assert_eq!(rooms.fill("a", 1), 3);
    let delivered = rooms.sink.delivered.lock().clone();
    assert_eq!(
        delivered,
        [("a", 1), ("a", 2), ("b", 1), ("a", 3)].map(|(room, offset)| (room.into(), offset))
    );
    let page = rooms.page("a", None, 10, false);
    let data: Vec<_> = page
        .publications
        .iter()
        .map(|publication| &*publication.data)
        .collect();
    assert_eq!(data, [b"0", b"1", b"0"]);
}

#[tokio::test]
async fn every_room_has_an_epoch_of_its_own_that_stays() {
    let rooms = Rooms::new(10);
    let receipt = rooms.store("a", "{}", None).unwrap();
    let position = rooms.position("a");
    assert_eq!(receipt.position, position);
    assert_eq!(rooms.subscribe("a"), position);
    assert_eq!(position.epoch.as_str().len(), 8);
    assert!(position.epoch.as_str().chars().all(|c| c.is_ascii_alphanumeric()));
    let unknown = rooms.position("b");
    assert_ne!(unknown.epoch, position.epoch);
    assert_eq!(unknown.offset, 0);
    assert_eq!(
        rooms.store("b", "{}", None).unwrap().position.epoch,
        unknown.epoch
    );
}

#[tokio::test]
async fn reads_as_centrifugo_does() {
    let rooms = Rooms::new(5);
    let last = rooms.fill("room", 8);
    let none: &[u64] = &[];
    let all: &[u64] = &[4, 5, 6, 7, 8];
    for (since, limit, expected, complete) in [
        (None, 10, all, true),
        (None, 2, &[4, 5], true),
        (None, 0, none, true),
        (Some(0), 10, all, false),
        (Some(2), 10, all, false),
        (Some(3), 10, all, true),
        (Some(3), 0, none, true),
        (Some(5), 2, &[6, 7], true),
        (Some(8), 10, none, true),
        (Some(9), 10, none, false),
        (Some(u64::MAX), usize::MAX, none, false),
    ] {
        let page = rooms.page("room", since, limit, false);
        assert_eq!(
            (&*offsets(&page), page.complete),
            (expected, complete),
            "since {since:?}, limit {limit}"
        );
        assert_eq!(page.head.offset, last);
    }
    for (since, limit, expected, complete) in [
        (None, 10, &[8, 7, 6, 5, 4][..], true),
        (None, 2, &[8, 7], true),
        (None, 0, none, true),
        (Some(u64::MAX), 10, none, true),
        (Some(10), 10, none, true),
        (Some(9), 10, &[8, 7, 6, 5, 4], true),
        (Some(6), 1, &[5], true),
        (Some(6), 10, &[5, 4], true),
        (Some(4), 10, none, false),
        (Some(2), 10, none, false),
        (Some(1), 10, none, true),
        (Some(0), 10, none, true),
    ] {
        let page = rooms.page("room", since, limit, true);
        assert_eq!(
            (&*offsets(&page), page.complete),
            (expected, complete),
            "before {since:?}, limit {limit}"
        );
        assert_eq!(page.head.offset, last);
    }
}

#[tokio::test]
async fn nothing_is_missing_while_nothing_was_evicted() {
    let rooms = Rooms::new(5);
    assert!(rooms.page("room", Some(0), 10, false).complete);
    rooms.fill("room", 5);
    let page = rooms.page("room", Some(0), 10, false);
    assert_eq!((offsets(&page), page.complete), (vec![1, 2, 3, 4, 5], true));
    rooms.fill("room", 1);
    assert!(!rooms.page("room", Some(0), 10, false).complete);
    assert!(rooms.page("room", Some(1), 10, false).complete);
}

#[tokio::test]
async fn removed_history_leaves_epoch_and_offsets() {
    let rooms = Rooms::new(5);
    rooms.fill("room", 3);
    let before = rooms.position("room");
    rooms.remove("room");
    assert_eq!(rooms.position("room"), before);
    let missed = rooms.page("room", Some(2), 10, false);
    assert_eq!((offsets(&missed), missed.complete), (vec![], false));
    assert!(rooms.page("room", Some(3), 10, false).complete);
    assert!(!rooms.page("room", Some(4), 10, true).complete);
    assert_eq!(rooms.fill("room", 1), 4);
    assert_eq!(rooms.kept("room"), [4]);
    rooms.remove("never used");
}

#[tokio::test]
async fn what_the_gateway_cannot_take_is_not_stored() {
    let rooms = Rooms::new(5);
    rooms.fill("room", 1);
    rooms.sink.full.store(true, Ordering::Relaxed);
    assert_eq!(
        rooms.store("room", "{}", Some("key")),
        Err(BusError::Overloaded.into())
    );
    rooms.sink.full.store(false, Ordering::Relaxed);
    assert_eq!(rooms.position("room").offset, 1);
    let receipt = rooms.store("room", "{}", Some("key")).unwrap();
    assert_eq!(
        (receipt.position.offset, receipt.repeated),
        (2, false),
        "the key was not used up"
    );
}

#[tokio::test]
async fn too_large_a_publication_is_refused() {
    let rooms = Rooms::new(5);
    let largest = "x".repeat(rooms.bus.max_message_size());
    assert!(rooms.store("room", &largest, None).is_ok());
    assert_eq!(
        rooms.store("room", &(largest + "x"), None),
        Err(BusError::TooLarge.into())
    );
    assert_eq!(rooms.position("room").offset, 1);
}

#[tokio::test]
async fn another_size_acts_at_the_next_store() {
    let mut rooms = Rooms::new(5);
    rooms.fill("room", 5);
    rooms.set(|options| options.size = 2);
    assert_eq!(rooms.kept("room"), [1, 2, 3, 4, 5]);
    rooms.fill("room", 1);
    assert_eq!(rooms.kept("room"), [5, 6]);
    rooms.set(|options| options.size = 4);
    rooms.fill("room", 3);
    assert_eq!(rooms.kept("room"), [6, 7, 8, 9]);
}

#[tokio::test]
async fn a_repeated_key_answers_the_first_receipt() {
    let rooms = Rooms::new(2);
    let first = rooms.store("room", "1", Some("key")).unwrap();
    assert!(!first.repeated);
    let repeat = Receipt {
        repeated: true,
        ..first.clone()
    };
    assert_eq!(rooms.store("room", "1", Some("key")), Ok(repeat.clone()));
    assert_eq!(rooms.store("room", "2", Some("key")), Err(StoreError::KeyReused));
    assert_eq!(
        rooms.store("room", "2", Some("other")).unwrap().position.offset,
        2
    );
    assert_eq!(
        rooms
            .store("elsewhere", "2", Some("key"))
            .unwrap()
            .position
            .offset,
        1
    );
    // Neither eviction nor removal makes it new.
    rooms.fill("room", 5);
    assert_eq!(rooms.store("room", "1", Some("key")), Ok(repeat.clone()));
    rooms.remove("room");
    assert_eq!(rooms.store("room", "1", Some("key")), Ok(repeat));
    assert_eq!(rooms.position("room").offset, 7);
    assert_eq!(rooms.sink.delivered.lock().len(), 8, "a repeat is not delivered");
}

#[tokio::test]
async fn an_ephemeral_room_has_no_position() {
    let rooms = Rooms::new(2);
    assert_eq!(now(rooms.bus.subscribe("room".into(), None)), Ok(None));
    rooms.bus.publish("room", &Publication::new("{}")).unwrap();
    assert_eq!(*rooms.sink.delivered.lock(), [("room".to_owned(), 0)]);
    rooms.bus.unsubscribe(&"room".into());
    assert_eq!(rooms.position("room").offset, 0);
}
