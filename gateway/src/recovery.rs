//! Reading what a client missed, at a cost that does not grow with the clients that come back at once.
//!
//! Three steps, cheapest first: the newest publications of a live room are at hand ([`crate::rooms`]); clients that
//! ask for the same part share one read; and only so many reads run at once ([`crate::reads`]).

mod piece;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::Shared};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

pub use self::piece::{Missed, Part, Piece};
use crate::{
    bus::{BoxFuture, BusError, SharedBus},
    channel::Channel,
    history::Page,
    limits::Limiter,
    metrics::RecoveryMetrics,
    reads::Reads,
    rooms::Rooms,
};

/// Reads of the bus that run at once.
const MAX_READS: usize = 64;
/// Reads that end before a piece does, before the recovery is given up.
const ATTEMPTS: u32 = 5;
/// Before a replica that lags is asked again; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// For one read, its turn included: joins, and what was asked behind them, wait for it.
const MAX_READ: Duration = Duration::from_secs(10);

type Flight = Shared<BoxFuture<Result<Arc<Page>, BusError>>>;

/// One gateway's reads for clients that recover.
pub struct Recovery {
    rooms: Arc<Rooms>,
    flights: Arc<Mutex<HashMap<(Channel, Part), Flight>>>,
    reads: Reads,
    metrics: RecoveryMetrics,
}

impl Recovery {
    pub fn new(rooms: Arc<Rooms>, metrics: &RecoveryMetrics, limiter: &Arc<Limiter>) -> Self {
        Self {
            rooms,
            flights: Arc::default(),
            reads: Reads::new(MAX_READS, limiter.clone()),
            metrics: metrics.clone(),
        }
    }

    /// What is at hand needs no waiting.
    pub fn at_hand(&self, piece: &Piece) -> Option<Missed> {
        let publications = self.rooms.recent(
            &piece.channel,
            &piece.epoch,
            piece.part.start(piece.until),
            piece.until,
        )?;
        let missed = piece.of_recent(publications)?;
        self.metrics.from_memory();
        Some(missed)
    }

    /// Reads a piece from the bus, together with everybody who asks for the same. Bounded in time.
    pub fn read(self: &Arc<Self>, bus: &SharedBus, piece: Piece) -> BoxFuture<Result<Missed, BusError>> {
        let (recovery, bus) = (self.clone(), bus.clone());
        Box::pin(async move {
            let deadline = Instant::now() + MAX_READ;
            let mut pause = FIRST_PAUSE;
            for _ in 0..ATTEMPTS {
                // Many decide to read in one turn of a worker; the first of them reads for all.
                if let Some(missed) = recovery.at_hand(&piece) {
                    return Ok(missed);
                }
                // Polled to its end: nobody else might, and it has a turn.
                let page = recovery.flight(&bus, &piece).await?;
                if let Some(missed) = piece.of_page(&page) {
                    return Ok(missed);
                }
                if Instant::now() + pause >= deadline {
                    break;
                }
                // A read that others began before this piece ended, or a replica that lags.
                sleep(pause).await;
                pause *= 2;
            }
            Err(BusError::Timeout)
        })
    }

    fn flight(&self, bus: &SharedBus, piece: &Piece) -> Flight {
        let key = (piece.channel.clone(), piece.part);
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
        let (channel, part) = (piece.channel.clone(), piece.part);
        let read = self.reads.page(bus, &channel, &piece.policy, part.query());
        let (flights, rooms) = (self.flights.clone(), self.rooms.clone());
        let flight = async move {
            let page = timeout(MAX_READ, read).await.unwrap_or(Err(BusError::Timeout));
            flights.lock().remove(&(channel.clone(), part));
            let page = page?;
            if let Some(since) = part.covered(&page) {
                rooms.remember(&channel, since, &page.publications, &page.head);
            }
            Ok(Arc::new(page))
        };
        (Box::pin(flight) as BoxFuture<_>).shared()
    }
}

#[cfg(test)]
mod tests;
