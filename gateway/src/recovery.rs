//! Reading what a client missed, at a cost that does not grow with the clients that come back at once.
//!
//! Three steps, cheapest first: the newest publications of a live room are at hand ([`crate::rooms`]); clients that
//! ask for the same piece share one read; and only so many reads run at once, the others wait their turn.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::Shared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    bus::{BoxFuture, BusError, SharedBus},
    channel::Channel,
    history::{Epoch, HistoryPolicy, Page, Query},
    metrics::RecoveryMetrics,
    publication::{Publication, unix_nanos},
    rooms::Rooms,
};

/// Reads of the bus that run at once.
const MAX_READS: usize = 64;
/// Reads that end before a piece does, before the recovery is given up.
const ATTEMPTS: usize = 5;

type Flight = Shared<BoxFuture<Result<Arc<Page>, BusError>>>;

/// One gateway's reads for clients that recover.
pub struct Recovery {
    rooms: Arc<Rooms>,
    flights: Arc<Mutex<HashMap<(Channel, u64), Flight>>>,
    turns: Arc<Semaphore>,
    metrics: RecoveryMetrics,
}

/// What a client missed.
#[derive(Clone, Debug, PartialEq)]
pub enum Missed {
    /// All of it, oldest first.
    All(Vec<Arc<Publication>>),
    /// More than one recovery may bring, or some of it is gone.
    TooMuch,
}

/// A piece of a durable room's history: what follows `since`, up to `until`.
pub struct Piece {
    pub channel: Channel,
    pub policy: Arc<HistoryPolicy>,
    /// In which its offsets count.
    pub epoch: Epoch,
    pub since: u64,
    pub until: u64,
    /// Publications that one recovery may bring.
    pub limit: usize,
}

impl Recovery {
    pub fn new(rooms: Arc<Rooms>, metrics: RecoveryMetrics) -> Self {
        Self {
            rooms,
            flights: Arc::default(),
            turns: Arc::new(Semaphore::new(MAX_READS)),
            metrics,
        }
    }

    /// What is at hand needs no waiting.
    pub fn at_hand(&self, piece: &Piece) -> Option<Missed> {
        let publications = self
            .rooms
            .recent(&piece.channel, &piece.epoch, piece.since, piece.until)?;
        if publications
            .first()
            .is_some_and(|oldest| piece.is_outdated(oldest))
        {
            return None;
        }
        self.metrics.from_memory();
        Some(piece.judge(publications, true))
    }

    /// Reads a piece from the bus, together with everybody who asks for the same.
    pub fn read(self: &Arc<Self>, bus: &SharedBus, piece: Piece) -> BoxFuture<Result<Missed, BusError>> {
        let (recovery, bus) = (self.clone(), bus.clone());
        Box::pin(async move {
            for _ in 0..ATTEMPTS {
                // Many decide to read in one turn of a worker; the first of them reads for all.
                if let Some(missed) = recovery.at_hand(&piece) {
                    return Ok(missed);
                }
                let page = recovery.flight(&bus, &piece).await?;
                // Another epoch, or an offset that there never was: the head is the stream's own. A room without
                // messages may be behind the position that it was left at.
                if page.head.epoch != piece.epoch || (page.head.offset < piece.since && !page.complete) {
                    return Ok(Missed::TooMuch);
                }
                if page.head.offset < piece.since {
                    return Ok(Missed::All(Vec::new()));
                }
                let reaches = page.head.offset >= piece.until || !page.complete;
                if reaches || page.publications.len() > piece.limit {
                    let wanted = page
                        .publications
                        .iter()
                        .filter(|publication| publication.offset <= piece.until);
                    return Ok(piece.judge(wanted.cloned().collect(), page.complete));
                }
                // A read that others began before this piece ended, or a replica that lags.
            }
            Err(BusError::Timeout)
        })
    }

    fn flight(&self, bus: &SharedBus, piece: &Piece) -> Flight {
        let key = (piece.channel.clone(), piece.since);
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let flight = self.take_off(bus, piece);
        flights.insert(key, flight.clone());
        flight
    }

    fn take_off(&self, bus: &SharedBus, piece: &Piece) -> Flight {
        self.metrics.from_bus();
        let (channel, since, limit) = (piece.channel.clone(), piece.since, piece.limit);
        // One more than may be brought tells whether there is more.
        let query = Query {
            since: Some(since),
            limit: limit + 1,
            reverse: false,
        };
        let (bus, policy) = (bus.clone(), piece.policy.clone());
        let (turns, flights, rooms) = (self.turns.clone(), self.flights.clone(), self.rooms.clone());
        let flight = async move {
            let turn = turns.acquire().await;
            let page = bus.history(&channel, &policy, query).await;
            drop(turn);
            flights.lock().remove(&(channel.clone(), since));
            let page = page?;
            if page.complete && page.publications.len() <= limit {
                rooms.remember(&channel, since, &page.publications, &page.head);
            }
            Ok(Arc::new(page))
        };
        (Box::pin(flight) as BoxFuture<_>).shared()
    }
}

impl Piece {
    /// Older than the room keeps it, by the clock of the gateway that accepted it: the bus knows whether it is forgotten.
    fn is_outdated(&self, publication: &Publication) -> bool {
        let age = Duration::from_nanos(unix_nanos().saturating_sub(publication.accepted_at));
        age >= self.policy.options.ttl
    }

    fn judge(&self, publications: Vec<Arc<Publication>>, complete: bool) -> Missed {
        if complete && publications.len() <= self.limit {
            Missed::All(publications)
        } else {
            Missed::TooMuch
        }
    }
}
