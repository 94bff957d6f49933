//! How a gateway goes away: not ready at once, still accepting while the news spreads, then refusing, then closing
//! its connections at a pace that lets them come back elsewhere without a storm.
//!
//! ```text
//! running ─▶ leaving (accepts for drain.accept) ─▶ refusing: 503, closes over drain.duration ─▶ exit 0
//! ```

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running,
    /// Not ready, but new connections are still served: load balancers need time to notice.
    Leaving,
    /// New connections get 503 and `Retry-After`; the others are closed one after another.
    Refusing,
}

#[derive(Default)]
pub struct Drain {
    phase: AtomicU8,
}

impl Drain {
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Leaving,
            _ => Phase::Refusing,
        }
    }

    /// Phases only go forward.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

/// How connections are closed: the window over which they are spread.
#[derive(Clone, Debug)]
pub struct Pace {
    pub window: Duration,
}

impl Pace {
    /// When to close each of `count` connections from now on: spread evenly over the window, each somewhere in its
    /// own share of it, so that clients neither come in step nor later than promised.
    pub fn times(&self, count: usize) -> impl Iterator<Item = Instant> + use<> {
        let start = Instant::now();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let share = self.window.as_secs_f64() / f64::from(count.max(1));
        (0..count)
            .map(move |index| start + Duration::from_secs_f64(share * (f64::from(index) + fastrand::f64())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let drain = Drain::default();
        assert_eq!(drain.phase(), Phase::Running);
        drain.advance(Phase::Refusing);
        drain.advance(Phase::Leaving);
        assert_eq!(drain.phase(), Phase::Refusing);
    }

    #[tokio::test(start_paused = true)]
    async fn closes_are_spread_over_the_window_in_order() {
        let start = Instant::now();
        let times: Vec<_> = Pace {
            window: Duration::from_secs(20),
        }
        .times(1_000)
        .collect();
        assert!(times.is_sorted());
        assert!(
            times
                .iter()
                .all(|time| *time >= start && *time <= start + Duration::from_secs(20))
        );
        let first_half = times
            .iter()
            .filter(|time| **time < start + Duration::from_secs(10))
            .count();
        assert_eq!(first_half, 500);
        assert_eq!(
            Pace {
                window: Duration::ZERO
            }
            .times(3)
            .count(),
            3
        );
    }
}
