//! When connections are closed: spread over a window, all of them or some.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Nothing is paced over a longer time.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// How connections are closed: the window over which they are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub window: Duration,
}

impl Pace {
    /// The window in which `count` connections close at `rate` a second. Workers spread their own over the whole window, so
    /// that together they keep the rate, however the connections are shared out among them.
    pub fn at_rate(count: u64, rate: f64) -> Self {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let window = Duration::try_from_secs_f64(count / rate).unwrap_or(LONGEST);
        Self {
            window: window.min(LONGEST),
        }
    }

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

/// Some of a gateway's connections that shall go elsewhere.
#[derive(Debug)]
pub struct Shed {
    pub pace: Pace,
    count: u64,
    /// Connections when it began, at least 1.
    open: u64,
    /// How many may still be closed. Workers round up what they offer, and take what they close from here.
    left: AtomicU64,
}

impl Shed {
    /// `count` of `open` connections, at `rate` a second.
    pub fn new(count: u64, open: u64, rate: f64) -> Self {
        let count = count.min(open);
        Self {
            pace: Pace::at_rate(count, rate),
            count,
            open: open.max(1),
            left: AtomicU64::new(count),
        }
    }

    /// How many of its `own` connections a worker offers: its share, rounded up.
    pub fn offer(&self, own: usize) -> usize {
        let share = own as u128 * u128::from(self.count);
        // More than it has only if connections came meanwhile.
        usize::try_from(share.div_ceil(self.open.into())).map_or(own, |offer| offer.min(own))
    }

    /// Takes one that may be closed; false when all are.
    pub fn take(&self) -> bool {
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
            .is_ok()
    }

    /// Connections that are still to be closed.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn closes_are_spread_over_the_window_in_order() {
        let start = Instant::now();
        let window = Duration::from_secs(20);
        let times: Vec<_> = Pace { window }.times(1_000).collect();
        assert!(times.is_sorted());
        assert!(times.iter().all(|time| *time >= start && *time <= start + window));
        let first_half = times.iter().filter(|time| **time < start + window / 2).count();
        assert_eq!(first_half, 500);
        let window = Duration::ZERO;
        assert_eq!(Pace { window }.times(3).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_by_workers_with_unequal_shares() {
        let pace = Pace::at_rate(1_000, 50.0);
        assert_eq!(pace.window, Duration::from_secs(20));
        let start = Instant::now();
        let mut seconds = [0; 20];
        for of_worker in [900, 97, 3] {
            for time in pace.times(of_worker) {
                let second = usize::try_from((time - start).as_secs()).unwrap();
                seconds[second.min(19)] += 1;
            }
        }
        // Shares that meet a second's edge may fall to either side: one for each worker.
        assert!(
            seconds.iter().all(|closes| (47..=53).contains(closes)),
            "{seconds:?}"
        );
        assert_eq!(seconds.iter().sum::<i32>(), 1_000);
    }

    #[test]
    fn rates_that_take_for_ever_are_bounded() {
        assert_eq!(Pace::at_rate(u64::MAX, f64::MIN_POSITIVE).window, LONGEST);
        assert_eq!(Pace::at_rate(0, 10.0).window, Duration::ZERO);
    }

    #[test]
    fn a_shed_closes_exactly_as_many_as_it_was_told() {
        for (count, workers) in [
            (10_u64, [50_usize, 50, 1]),
            (1, [3, 3, 3]),
            (7, [1, 0, 99]),
            (500, [2, 3, 4]),
        ] {
            let open: usize = workers.iter().sum();
            let open = u64::try_from(open).unwrap();
            let shed = Shed::new(count, open, 5.0);
            let offered: usize = workers.iter().map(|own| shed.offer(*own)).sum();
            let closed = (0..offered).filter(|_| shed.take()).count();
            assert_eq!(
                u64::try_from(closed).unwrap(),
                count.min(open),
                "{count} of {workers:?}"
            );
            assert_eq!(shed.left(), 0);
        }
    }
}
