//! How often something may happen: a token bucket in eight bytes.
//!
//! The generic cell rate algorithm: of a bucket that fills steadily only the moment matters at which it will be full again.
//! A bucket holds what comes in two seconds ([`BURST`]), so a rate of 10 lets 20 happen at once. Time is counted from the
//! start of the gateway, which fits into 64 bits for centuries.

use std::time::Duration;

/// What may come at once, as the nanoseconds in which it may come steadily.
const BURST: Nanos = 2_000_000_000;

/// Nanoseconds since the gateway started.
pub type Nanos = u64;

/// How often a second. Zero is no limit.
pub type Rate = u32;

/// A bucket. Its rate is told with every use, so that a reload changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// When the bucket is full again.
    full_at: Nanos,
}

impl Meter {
    /// Takes one out of the bucket; false, and nothing taken, when it is empty.
    pub fn take(&mut self, now: Nanos, rate: Rate) -> bool {
        let Some(full_at) = self.after(now, rate, 1) else {
            return true;
        };
        if full_at > now.saturating_add(BURST) {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// Takes so many out of the bucket, whether they are in it or not; returns for how long nothing more should come.
    pub fn owe(&mut self, now: Nanos, rate: Rate, count: u32) -> Duration {
        let Some(full_at) = self.after(now, rate, count) else {
            return Duration::ZERO;
        };
        self.full_at = full_at;
        self.debt(now)
    }

    /// How long it takes until something is in the bucket again.
    pub fn debt(self, now: Nanos) -> Duration {
        Duration::from_nanos(self.full_at.saturating_sub(now).saturating_sub(BURST))
    }

    /// Makes the debt at least so long.
    pub fn hold(&mut self, now: Nanos, debt: Duration) {
        let debt = u64::try_from(debt.as_nanos()).unwrap_or(u64::MAX);
        let full_at = now.saturating_add(BURST).saturating_add(debt);
        self.full_at = self.full_at.max(full_at);
    }

    /// Whether it is full: as good as a new one.
    pub fn is_idle(self, now: Nanos) -> bool {
        self.full_at <= now
    }

    fn after(self, now: Nanos, rate: Rate, count: u32) -> Option<Nanos> {
        let each = 1_000_000_000_u64.checked_div(rate.into())?;
        let taken = each.saturating_mul(count.into());
        Some(self.full_at.max(now).saturating_add(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn twice_the_rate_at_once_and_then_the_rate() {
        let mut meter = Meter::default();
        let taken = |meter: &mut Meter, now| (0..1_000).filter(|_| meter.take(now, 10)).count();
        assert_eq!(taken(&mut meter, SECOND), 20);
        assert_eq!(taken(&mut meter, 2 * SECOND), 10);
        assert_eq!(taken(&mut meter, 2 * SECOND + SECOND / 10), 1);
        assert_eq!(taken(&mut meter, 60 * SECOND), 20, "it holds no more than that");
    }

    #[test]
    fn what_is_owed_is_paid_back_in_time() {
        let mut meter = Meter::default();
        assert_eq!(meter.owe(0, 100, 200), Duration::ZERO);
        assert_eq!(meter.owe(0, 100, 50), Duration::from_millis(500));
        assert_eq!(meter.debt(SECOND / 4), Duration::from_millis(250));
        assert_eq!(meter.debt(SECOND), Duration::ZERO);
        assert!(!meter.is_idle(SECOND) && meter.is_idle(3 * SECOND));
    }

    #[test]
    fn a_debt_of_somebody_else_is_held() {
        let mut meter = Meter::default();
        meter.hold(SECOND, Duration::from_secs(3));
        meter.hold(SECOND, Duration::from_secs(1));
        assert_eq!(meter.debt(SECOND), Duration::from_secs(3));
    }

    #[test]
    fn no_rate_is_no_limit_and_nothing_overflows() {
        let mut meter = Meter::default();
        assert!((0..1_000).all(|_| meter.take(0, 0)));
        assert_eq!(meter, Meter::default());
        meter.owe(u64::MAX - 1, 1, u32::MAX);
        meter.hold(u64::MAX, Duration::MAX);
        assert!(!meter.take(0, 1));
        let mut slow = Meter::default();
        assert!(slow.take(0, 1) && slow.take(0, 1) && !slow.take(0, 1));
    }
}
