use super::*;
use crate::{
    history::Epoch,
    metrics::Metrics,
    publication::Publication,
    reads::tests::{bus, limiter, policy},
};

const ROOM: &str = "chat:room";
const STORED: u64 = 400;

/// A room that nobody is in.
struct Setup {
    recovery: Arc<Recovery>,
    bus: SharedBus,
    epoch: Epoch,
}

impl Setup {
    async fn new() -> Self {
        let (bus, policy, metrics) = (bus(), policy(), Metrics::new().unwrap());
        let mut epoch = None;
        for number in 0..STORED {
            let publication = Publication::new(number.to_string());
            let stored = bus.store(ROOM, &policy, &publication, None).await.unwrap();
            epoch = Some(stored.position.epoch);
        }
        let (rooms, _) = Rooms::new(Vec::new(), metrics.rooms.clone());
        Self {
            recovery: Arc::new(Recovery::new(rooms, &metrics.recovery, &limiter())),
            bus,
            epoch: epoch.unwrap(),
        }
    }

    fn read(&self, part: Part, until: u64) -> BoxFuture<Result<Missed, BusError>> {
        let piece = Piece {
            channel: ROOM.into(),
            policy: policy(),
            epoch: self.epoch.clone(),
            part,
            until,
        };
        self.recovery.read(&self.bus, piece)
    }
}

fn count(missed: &Missed) -> Option<usize> {
    match missed {
        Missed::All(publications) => Some(publications.len()),
        Missed::TooMuch => None,
    }
}

/// Every task that can go on does.
async fn take_off() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A reload changes the limit while a read is under way.
#[tokio::test(start_paused = true)]
async fn who_may_bring_more_does_not_share_a_smaller_read() {
    let setup = Setup::new().await;
    let turns = setup.recovery.reads.take_all();
    let part = |limit| Part::After { since: 0, limit };
    let reads = [300, 300, 1_000].map(|limit| tokio::spawn(setup.read(part(limit), STORED)));
    take_off().await;
    assert_eq!(setup.recovery.flights.lock().len(), 2);
    drop(turns);
    let mut counts = Vec::new();
    for read in reads {
        counts.push(count(&read.await.unwrap().unwrap()));
    }
    assert_eq!(counts, [None, None, Some(400)]);
    assert!(setup.recovery.flights.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_newest_is_read_once_for_all() {
    let setup = Setup::new().await;
    let turns = setup.recovery.reads.take_all();
    let reads: Vec<_> = (1..=100)
        .map(|number| tokio::spawn(setup.read(Part::Newest, STORED - number % 2)))
        .collect();
    take_off().await;
    assert_eq!(setup.recovery.flights.lock().len(), 1);
    drop(turns);
    for (number, read) in (1..=100).zip(reads) {
        // What is newer than the position of a join comes live.
        assert_eq!(count(&read.await.unwrap().unwrap()), Some(1 - number % 2));
    }
}

/// A bus that does not answer, as it looks to those behind the first reads.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_and_no_turn_is_lost() {
    let setup = Setup::new().await;
    let turns = setup.recovery.reads.take_all();
    let start = Instant::now();
    let reads = [0, 1, 2].map(|since| tokio::spawn(setup.read(Part::After { since, limit: 300 }, STORED)));
    for read in reads {
        assert_eq!(read.await.unwrap(), Err(BusError::Overloaded));
    }
    assert!(start.elapsed() <= MAX_READ);
    assert!(setup.recovery.flights.lock().is_empty());
    drop(turns);
    let read = setup
        .read(
            Part::After {
                since: 300,
                limit: 300,
            },
            STORED,
        )
        .await;
    assert_eq!(count(&read.unwrap()), Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lags_is_given_time() {
    let setup = Setup::new().await;
    let start = Instant::now();
    let ahead = setup.read(Part::Newest, STORED + 1).await;
    assert_eq!(ahead, Err(BusError::Timeout));
    assert_eq!(start.elapsed(), Duration::from_millis(10 + 20 + 40 + 80 + 160));
}
