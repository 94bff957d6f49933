//! Until when this gateway may act on what it knows.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Read for every publication of a room with access rules: a clock and an atomic.
pub(super) struct Lease {
    begun: Instant,
    /// Milliseconds after `begun`; 0: there was none so far.
    ends: AtomicU64,
}

/// There is nothing to be known: the lease has no end.
const NEVER: u64 = u64::MAX;

impl Lease {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            ends: AtomicU64::new(0),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        let ends = self.ends.load(Ordering::Acquire);
        ends == NEVER || self.begun + Duration::from_millis(ends) > Instant::now()
    }

    /// All that was kept by `asked` is known, and in force.
    pub(super) fn extend(&self, asked: Instant, lease: Duration) {
        let ends = (asked + lease).saturating_duration_since(self.begun);
        let ends = u64::try_from(ends.as_millis()).unwrap_or(NEVER);
        self.ends.store(ends, Ordering::Release);
    }

    /// Nothing can be kept on this bus.
    pub(super) fn waive(&self) {
        self.ends.store(NEVER, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_question_and_not_from_the_answer() {
        let lease = Lease::new();
        assert!(!lease.is_live(), "nothing is known yet");
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        lease.extend(asked, Duration::from_secs(5));
        tokio::time::advance(Duration::from_millis(2_999)).await;
        assert!(lease.is_live());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lease.is_live());
        lease.waive();
        tokio::time::advance(Duration::from_hours(1_000)).await;
        assert!(lease.is_live());
    }
}
