//! Several threads in one room.

use std::{collections::HashMap, sync::mpsc, thread};

use super::*;

const WRITERS: usize = 4;
const WRITES: usize = 2_000;
const READERS: usize = 50;

/// Gives every member what is delivered from the moment at which it is added, as the gateway's rooms do.
#[derive(Default)]
struct Members {
    heard: Mutex<Vec<Vec<u64>>>,
}

impl Members {
    fn add(&self) -> usize {
        let mut heard = self.heard.lock();
        heard.push(Vec::new());
        heard.len() - 1
    }
}

impl BusEvents for Members {
    fn publication(&self, _channel: &str, publication: Publication) -> Result<(), Overloaded> {
        for heard in self.heard.lock().iter_mut() {
            heard.push(publication.offset);
        }
        Ok(())
    }

    fn control(&self, _message: Bytes) {}

    fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

    fn removed(&self, _: &str) {}

    fn lost(&self, _channel: &str, _position: Position) {}
}

#[tokio::test]
async fn what_was_read_and_what_is_delivered_meet_without_gap_or_overlap() {
    let members = Arc::new(Members::default());
    let bus = Embedded::new(uuid::Uuid::nil(), members.clone());
    let policy = policy(HistoryOptions {
        size: WRITERS * WRITES,
        ..HistoryOptions::default()
    });
    let everything = members.add();
    let joined = thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    now(bus.store("room", &policy, &Publication::new("{}"), None)).unwrap();
                }
            });
        }
        let join = || {
            let member = members.add();
            let position = now(bus.subscribe("room".into(), Some(policy.clone())))
                .unwrap()
                .unwrap();
            let query = Query {
                since: None,
                limit: usize::MAX,
                reverse: false,
            };
            let mut read = offsets(&now(bus.history("room", &policy, query)).unwrap());
            read.retain(|offset| *offset <= position.offset);
            (member, position.offset, read)
        };
        (0..READERS).map(|_| join()).collect::<Vec<_>>()
    });

    let heard = members.heard.lock();
    let all: Vec<u64> = (1..).take(WRITERS * WRITES).collect();
    assert!(
        heard[everything] == all,
        "deliveries come in the order of offsets"
    );
    for (member, position, mut seen) in joined {
        seen.extend(heard[member].iter().filter(|offset| **offset > position));
        assert!(
            seen == all,
            "the member that joined at {position} missed something or got it twice"
        );
    }
}

#[tokio::test]
async fn a_key_that_many_threads_use_is_stored_once() {
    let rooms = Rooms::new(10);
    let mut receipts: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| rooms.store("room", "{}", Some("key")).unwrap()))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    receipts.sort_by_key(|receipt| receipt.repeated);
    assert!(receipts.iter().all(|receipt| receipt.position.offset == 1));
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    assert_eq!(rooms.sink.delivered.lock().len(), 1);
}

/// The gateway's table of rooms: its lock is taken to deliver, and is held while a subscription ends.
#[derive(Default)]
struct Table {
    rooms: Mutex<HashMap<String, u64>>,
}

impl BusEvents for Table {
    fn publication(&self, channel: &str, publication: Publication) -> Result<(), Overloaded> {
        self.rooms.lock().insert(channel.to_owned(), publication.offset);
        Ok(())
    }

    fn control(&self, _message: Bytes) {}

    fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

    fn removed(&self, _: &str) {}

    fn lost(&self, _channel: &str, _position: Position) {}
}

#[tokio::test]
async fn a_leave_under_the_lock_of_the_gateway_meets_a_store() {
    let table = Arc::new(Table::default());
    let bus = Arc::new(Embedded::new(uuid::Uuid::nil(), table.clone()));
    let policy = policy(HistoryOptions::default());
    let (done, finished) = mpsc::channel();
    for leaves in [true, false] {
        let (table, bus, policy, done) = (table.clone(), bus.clone(), policy.clone(), done.clone());
        thread::spawn(move || {
            for _ in 0..5_000 {
                if leaves {
                    now(bus.subscribe("room".into(), Some(policy.clone()))).unwrap();
                    let rooms = table.rooms.lock();
                    bus.unsubscribe(&"room".into());
                    drop(rooms);
                } else {
                    now(bus.store("room", &policy, &Publication::new("{}"), None)).unwrap();
                }
            }
            done.send(()).unwrap();
        });
    }
    for _ in 0..2 {
        // A bound for a deadlock only: the work takes milliseconds.
        finished
            .recv_timeout(Duration::from_mins(1))
            .expect("the threads wait for each other");
    }
}
