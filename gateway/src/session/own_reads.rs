//! What one connection may have read at once and in a time: pages of history, and members whom other gateways are asked for.
//!
//! The turns of [`crate::reads`] come to whoever asked first, and behind them is one NATS for all: who asks most would get
//! most. So of each connection only a few reads are on their way there. Its others wait behind these, and the more they
//! bring, the later the next begins; a client that asks for all its rooms in one message is served, one that never stops
//! waits for itself. What is not begun in time is refused (111).

use std::{cell::Cell, rc::Rc, time::Duration};

use natter_protocol::ErrorCode;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use super::Session;
use crate::{
    history::{MAX_PAGE_BYTES, Page},
    limits::{Limit, Limiter, Meter, Rate},
    reads::MAX_WAIT,
    worker::Worker,
};

/// Reads that run at once: eight connections, and not one, can take every turn for pages of history, and sixteen every
/// question about members.
const AT_ONCE: usize = 4;
/// Reads that are open, most of which wait: one for each of the rooms that a connection may be in by default.
pub(crate) const MAX_OPEN: usize = 128;
/// Bytes a second, twice as many at once: the largest page, every second.
pub(crate) const BYTES: usize = MAX_PAGE_BYTES;
/// What a publication costs as well, whatever its size: subject, headers, names of fields.
const PUBLICATION_SIZE: usize = 256;

/// The reads of one connection.
pub(super) struct OwnReads {
    client: Uuid,
    turns: Semaphore,
    open: Cell<usize>,
    bytes: Cell<Meter>,
}

/// One of them, until it is dropped.
#[must_use = "the read is open as long as this lives"]
pub(super) struct OpenRead {
    reads: Rc<OwnReads>,
    until: Instant,
}

impl Session {
    fn own_reads(&self) -> &Rc<OwnReads> {
        self.own_reads.get_or_init(|| Rc::new(OwnReads::new(self.id)))
    }

    /// One more read that waits for the bus, unless too many do.
    pub(super) fn open_read(&self, worker: &Worker) -> Result<OpenRead, ErrorCode> {
        self.own_reads().open(&worker.gateway.limiter)
    }

    /// What has not begun is read for nobody.
    pub(super) fn stop_reading(&self) {
        if let Some(reads) = self.own_reads.get() {
            reads.turns.close();
        }
    }

    /// Whether so many bytes may be read that are at hand. The last ones are given whole.
    pub(super) fn may_read_bytes(&self, worker: &Worker, bytes: usize) -> Result<(), ErrorCode> {
        let limiter = &worker.gateway.limiter;
        if self.own_reads().debt(limiter).is_zero() {
            self.own_reads().spend(limiter, bytes);
            return Ok(());
        }
        limiter.reached(Limit::ReadBytes, &self.id);
        Err(ErrorCode::TooManyRequests)
    }
}

impl OwnReads {
    fn new(client: Uuid) -> Self {
        Self {
            client,
            turns: Semaphore::new(AT_ONCE),
            open: Cell::new(0),
            bytes: Cell::default(),
        }
    }

    fn open(self: &Rc<Self>, limiter: &Limiter) -> Result<OpenRead, ErrorCode> {
        if self.open.get() >= MAX_OPEN {
            limiter.reached(Limit::OpenReads, &self.client);
            return Err(ErrorCode::TooManyRequests);
        }
        self.open.set(self.open.get() + 1);
        Ok(OpenRead {
            reads: self.clone(),
            until: Instant::now() + MAX_WAIT,
        })
    }

    fn debt(&self, limiter: &Limiter) -> Duration {
        self.bytes.get().debt(limiter.now())
    }

    fn spend(&self, limiter: &Limiter, bytes: usize) {
        let (mut meter, now) = (self.bytes.get(), limiter.now());
        let rested = meter.debt(now).is_zero();
        let clamped = |bytes: usize| Rate::try_from(bytes).unwrap_or(Rate::MAX);
        let debt = meter.owe(now, clamped(BYTES), clamped(bytes));
        self.bytes.set(meter);
        if rested && !debt.is_zero() {
            limiter.reached(Limit::ReadBytes, &self.client);
        }
    }
}

impl OpenRead {
    /// Waits for a turn among the reads of the connection, and until it has made up for what the last ones brought. None comes
    /// in time, or any more: the connection has ended.
    pub(super) async fn turn(&self, limiter: &Limiter) -> Result<SemaphorePermit<'_>, ErrorCode> {
        let turn = async {
            let turn = self.reads.turns.acquire().await.ok()?;
            loop {
                let debt = self.reads.debt(limiter);
                if self.reads.turns.is_closed() {
                    return None;
                }
                if debt.is_zero() {
                    return Some(turn);
                }
                sleep(debt).await;
            }
        };
        let turn = timeout_at(self.until, turn).await;
        if turn.is_err() {
            limiter.reached(Limit::ReadTurns, &self.reads.client);
        }
        turn.ok().flatten().ok_or(ErrorCode::TooManyRequests)
    }

    /// The read brought members of so many bytes: others were asked for them, so that they are given now.
    pub(super) fn listed(&self, limiter: &Limiter, bytes: usize) {
        self.reads.spend(limiter, bytes);
    }

    /// The read brought a page, whether or not the client is given it.
    pub(super) fn brought(&self, limiter: &Limiter, page: &Page) {
        let sizes = page.publications.iter();
        let sizes = sizes.map(|publication| publication.data.len() + PUBLICATION_SIZE);
        self.reads.spend(limiter, sizes.sum());
    }
}

impl Drop for OpenRead {
    fn drop(&mut self) {
        self.reads.open.set(self.reads.open.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::{metrics::Metrics, telemetry::LogBudget};

    fn setup() -> (Rc<OwnReads>, Arc<Limiter>, Metrics) {
        let metrics = Metrics::new().unwrap();
        let limiter = Limiter::new(metrics.limits.clone(), Arc::new(LogBudget::new(1)));
        (Rc::new(OwnReads::new(Uuid::nil())), limiter, metrics)
    }

    fn counted(metrics: &Metrics, limit: Limit) -> u32 {
        let name = format!("natter_limited_total{{limit=\"{}\"}} ", limit.label());
        let text = metrics.encode().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap().parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_run_some_wait_in_order_and_more_are_refused() {
        let (reads, limiter, metrics) = setup();
        let open: Vec<_> = (0..MAX_OPEN).map(|_| reads.open(&limiter).unwrap()).collect();
        assert_eq!(reads.open(&limiter).err(), Some(ErrorCode::TooManyRequests));
        assert_eq!(counted(&metrics, Limit::OpenReads), 1);
        let mut turns: Vec<_> = open[..AT_ONCE + 2]
            .iter()
            .map(|read| Box::pin(read.turn(&limiter)))
            .collect();
        let mut running: Vec<_> = turns.iter_mut().map(FutureExt::now_or_never).collect();
        let runs = |running: &[Option<_>]| running.iter().filter(|turn| turn.is_some()).count();
        assert_eq!(runs(&running), AT_ONCE);
        running[0] = None;
        assert!(
            turns[AT_ONCE + 1].as_mut().now_or_never().is_none(),
            "the next comes first"
        );
        assert!(turns[AT_ONCE].as_mut().now_or_never().is_some());
        drop((running, turns));
        drop(open);
        assert!(reads.open(&limiter).is_ok(), "they are open no more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_begin_in_time_is_refused() {
        let (reads, limiter, metrics) = setup();
        let open: Vec<_> = (0..=AT_ONCE).map(|_| reads.open(&limiter).unwrap()).collect();
        let mut running = Vec::new();
        for read in &open[..AT_ONCE] {
            running.push(read.turn(&limiter).await.unwrap());
        }
        let began = Instant::now();
        let late = open[AT_ONCE].turn(&limiter).await;
        assert_eq!(late.err(), Some(ErrorCode::TooManyRequests));
        assert_eq!(began.elapsed(), MAX_WAIT);
        assert_eq!(counted(&metrics, Limit::ReadTurns), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_for_who_is_gone() {
        let (reads, limiter, metrics) = setup();
        reads.spend(&limiter, 3 * BYTES);
        let open: Vec<_> = (0..=AT_ONCE).map(|_| reads.open(&limiter).unwrap()).collect();
        let mut turns: Vec<_> = open.iter().map(|read| Box::pin(read.turn(&limiter))).collect();
        assert!(turns.iter_mut().all(|turn| turn.now_or_never().is_none()));
        reads.turns.close();
        for turn in turns {
            assert_eq!(turn.await.err(), Some(ErrorCode::TooManyRequests));
        }
        assert_eq!(counted(&metrics, Limit::ReadTurns), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_was_read_the_later_the_next_begins() {
        let (reads, limiter, metrics) = setup();
        let wait = async || {
            let (open, began) = (reads.open(&limiter).unwrap(), Instant::now());
            drop(open.turn(&limiter).await.unwrap());
            began.elapsed()
        };
        reads.spend(&limiter, 2 * BYTES - 1_000);
        assert_eq!(wait().await, Duration::ZERO, "twice as many at once");
        assert_eq!(counted(&metrics, Limit::ReadBytes), 0);
        reads.spend(&limiter, BYTES + 1_000);
        let waited = wait().await;
        assert!(
            waited.abs_diff(Duration::from_secs(1)) < Duration::from_millis(10),
            "{waited:?}"
        );
        assert_eq!(counted(&metrics, Limit::ReadBytes), 1);
    }
}
