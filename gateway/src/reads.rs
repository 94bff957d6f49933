//! Reads of history from the bus: only so many run at once, the others wait their turn, for a bounded time. How many of them
//! one client may have stands in `session/own_reads.rs`.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    bus::{BoxFuture, BusError, SharedBus},
    history::{HistoryPolicy, Page, Query},
    limits::{Limit, Limiter},
};

/// Pages of history that are read at once, apart from those for clients that recover, who come first.
pub const MAX_PAGES: usize = 32;
/// For a turn. As long as a read may take by default: what waits longer stands behind a bus that does not answer.
pub const MAX_WAIT: Duration = Duration::from_secs(5);

/// The turns that readers of one kind share.
pub struct Reads {
    turns: Arc<Semaphore>,
    limiter: Arc<Limiter>,
}

impl Reads {
    pub fn new(at_once: usize, limiter: Arc<Limiter>) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            limiter,
        }
    }

    /// As [`crate::bus::Bus::history`], in its turn; [`BusError::Overloaded`] when none comes within [`MAX_WAIT`] of now.
    pub fn page(
        &self,
        bus: &SharedBus,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        query: Query,
    ) -> BoxFuture<Result<Page, BusError>> {
        let until = Instant::now() + MAX_WAIT;
        let (turn, limiter) = (self.turns.clone().acquire_owned(), self.limiter.clone());
        let (bus, channel, policy) = (bus.clone(), channel.to_owned(), policy.clone());
        Box::pin(async move {
            let Ok(Ok(_turn)) = timeout_at(until, turn).await else {
                limiter.reached(Limit::ReadTurns, &channel);
                return Err(BusError::Overloaded);
            };
            bus.history(&channel, &policy, query).await
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use tokio::sync::OwnedSemaphorePermit;
    use uuid::Uuid;

    use super::*;
    use crate::{
        bus::{BusEvents, Embedded, Overloaded},
        config::HistoryOptions,
        history::Position,
        metrics::Metrics,
        publication::Publication,
        telemetry::LogBudget,
    };

    /// Nobody listens.
    struct Silence;

    impl BusEvents for Silence {
        fn publication(&self, _channel: &str, _publication: Publication) -> Result<(), Overloaded> {
            Ok(())
        }

        fn control(&self, _message: Bytes) {}

        fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

        fn removed(&self, _channel: &str) {}

        fn lost(&self, _channel: &str, _position: Position) {}
    }

    /// An embedded bus without members.
    pub(crate) fn bus() -> SharedBus {
        Arc::new(Embedded::new(Uuid::nil(), Arc::new(Silence)))
    }

    pub(crate) fn policy() -> Arc<HistoryPolicy> {
        Arc::new(HistoryPolicy {
            namespace: "chat".into(),
            options: HistoryOptions {
                size: 1_000,
                ..HistoryOptions::default()
            },
        })
    }

    pub(crate) fn limiter() -> Arc<Limiter> {
        Limiter::new(Metrics::new().unwrap().limits, Arc::new(LogBudget::new(1)))
    }

    impl Reads {
        /// Every turn, so that readers wait.
        pub(crate) fn take_all(&self) -> OwnedSemaphorePermit {
            let turns = u32::try_from(self.turns.available_permits()).unwrap();
            self.turns.clone().try_acquire_many_owned(turns).unwrap()
        }
    }

    const HEAD: Query = Query {
        since: None,
        limit: 0,
        reverse: false,
    };

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_but_not_for_ever() {
        let (bus, policy, reads) = (bus(), policy(), Reads::new(2, limiter()));
        let turns = reads.take_all();
        let start = Instant::now();
        let refused = reads.page(&bus, "chat:room", &policy, HEAD).await;
        assert_eq!(
            refused,
            Err(BusError::Overloaded),
            "which is no failure of the bus"
        );
        assert_eq!(start.elapsed(), MAX_WAIT);

        let waiting = tokio::spawn(reads.page(&bus, "chat:room", &policy, HEAD));
        tokio::task::yield_now().await;
        drop(turns);
        waiting.await.unwrap().unwrap();
        assert_eq!(reads.turns.available_permits(), 2);
    }
}
