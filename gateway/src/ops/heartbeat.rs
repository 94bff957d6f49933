//! Whether the workers still turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A worker that did not finish a turn for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The last turns of all workers; clones share them.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    origin: Instant,
    workers: Arc<[LastTurn]>,
}

/// Milliseconds since the origin, or [`RETIRED`]. On a cache line of its own: each worker writes its own once
/// a turn.
#[derive(Debug)]
#[repr(align(64))]
struct LastTurn(AtomicU64);

/// A worker that ended in order.
const RETIRED: u64 = u64::MAX;

impl Heartbeats {
    /// Watches workers 0 to `workers` from now on.
    pub fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| LastTurn(AtomicU64::new(0))).collect();
        Self {
            origin: Instant::now(),
            workers,
        }
    }

    /// A worker ended a turn. It does so at least every few seconds, also when there is nothing to do.
    #[inline]
    pub fn beat(&self, worker: usize) {
        self.set(worker, self.now());
    }

    /// A worker ends in order and is not missed. One that panics does not get here and so counts as stuck.
    pub fn retire(&self, worker: usize) {
        self.set(worker, RETIRED);
    }

    /// The workers that did not beat for ten seconds.
    pub fn stuck(&self) -> Vec<usize> {
        let now = self.now();
        let limit = millis(STUCK_AFTER);
        let stuck = |last: &LastTurn| now.saturating_sub(last.0.load(Ordering::Relaxed)) > limit;
        self.workers
            .iter()
            .enumerate()
            .filter(|(_, last)| stuck(last))
            .map(|(worker, _)| worker)
            .collect()
    }

    fn set(&self, worker: usize, turn: u64) {
        if let Some(last) = self.workers.get(worker) {
            last.0.store(turn, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        millis(self.origin.elapsed())
    }
}

/// 500 million years fit.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_stuck_after_ten_seconds_without_a_turn() {
        let heartbeats = Heartbeats::new(2);
        advance(STUCK_AFTER).await;
        heartbeats.beat(0);
        assert!(heartbeats.stuck().is_empty(), "ten seconds are allowed");
        advance(Duration::from_millis(1)).await;
        assert_eq!(heartbeats.stuck(), [1]);
        heartbeats.beat(1);
        assert!(heartbeats.stuck().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_retired_worker_is_not_missed() {
        let heartbeats = Heartbeats::new(2);
        heartbeats.clone().retire(0);
        advance(STUCK_AFTER * 2).await;
        assert_eq!(heartbeats.stuck(), [1]);
    }
}
