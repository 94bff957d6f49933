//! How many rooms may ask NATS for their place at once: first joins, and rooms that look at their head again.
//!
//! Each takes a SUB and a probe or a share of a barrier, and a stream's leader answers the probes one by one, between the
//! publications that it stores. Ten thousand at once would keep publications waiting. So only
//! `bus.nats.join_concurrency` are under way, the others wait their turn in order: a NATS that answers fast admits
//! many a second, one that is slow is not asked more than it answers. Who gets no turn within `bus.join_timeout` is
//! refused as overload.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{bus::BusError, metrics::BusMetrics};

/// Clones share the turns.
#[derive(Clone)]
pub(super) struct Admission {
    turns: Arc<Semaphore>,
    metrics: BusMetrics,
}

/// A turn, which ends when it is dropped.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    metrics: BusMetrics,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.metrics.join_ended();
    }
}

impl Admission {
    /// `concurrency` turns at once.
    pub(super) fn new(concurrency: usize, metrics: BusMetrics) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(concurrency)),
            metrics,
        }
    }

    /// Waits for a turn, in the order of calls.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<Turn, BusError> {
        let turns = self.turns.clone();
        let permit = if let Ok(permit) = turns.clone().try_acquire_owned() {
            permit
        } else {
            self.metrics.join_delayed();
            let waited = timeout_at(deadline, turns.acquire_owned()).await;
            // The semaphore is never closed.
            let permit = waited.map_err(|_| BusError::Overloaded)?;
            permit.map_err(|_| BusError::Disconnected)?
        };
        self.metrics.join_began();
        Ok(Turn {
            _permit: permit,
            metrics: self.metrics.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    fn value(metrics: &Metrics, name: &str) -> String {
        let text = metrics.encode().unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_bounded_come_in_order_and_are_counted() {
        let metrics = Metrics::new().unwrap();
        let admission = Admission::new(2, metrics.bus.clone());
        let first = admission.turn(soon()).await.unwrap();
        let second = admission.turn(soon()).await.unwrap();
        assert_eq!(value(&metrics, "natter_joins_in_flight "), "2");
        assert_eq!(value(&metrics, "natter_joins_delayed_total "), "0");

        let third = tokio::spawn({
            let admission = admission.clone();
            async move { admission.turn(soon()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "there are two turns");
        assert_eq!(value(&metrics, "natter_joins_delayed_total "), "1");
        drop(first);
        assert!(third.await.unwrap());
        drop(second);
        assert_eq!(value(&metrics, "natter_joins_in_flight "), "0");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_in_time_is_refused_and_leaves_no_hole() {
        let metrics = Metrics::new().unwrap();
        let admission = Admission::new(1, metrics.bus.clone());
        let turn = admission.turn(soon()).await.unwrap();
        assert_eq!(admission.turn(soon()).await.err(), Some(BusError::Overloaded));
        drop(turn);
        assert!(admission.turn(soon()).await.is_ok());
        assert_eq!(value(&metrics, "natter_joins_in_flight "), "0");
    }
}
