//! How often a room publishes.
//!
//! A write to a socket costs nearly the same for one frame and for eight, so in a room where the next publication comes
//! within milliseconds anyway it pays to wait for it; in any other room it would only delay the first one
//! (docs/benchmarks.md has both, measured).

use std::time::Duration;

use tokio::time::Instant;

/// How long the publications of a busy room are collected.
pub const WINDOW: Duration = Duration::from_millis(5);
/// Time between two publications below which the window of a room collects two of them or more, in microseconds.
const BUSY: u32 = 2_500;
/// The longest time that is told apart: so few publications later a room that wakes up is busy.
const LONGEST: u32 = 20_000;

/// The publications of a room, seen from one worker.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    last: Option<Instant>,
    /// Mean time between two, in microseconds; the newer ones weigh more.
    mean: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            last: None,
            mean: LONGEST,
        }
    }
}

impl Pace {
    /// A publication came.
    pub(super) fn note(&mut self, now: Instant) {
        let gap = self
            .last
            .replace(now)
            .map_or(LONGEST.into(), |last| now.saturating_duration_since(last).as_micros());
        let gap = u32::try_from(gap).unwrap_or(LONGEST).min(LONGEST);
        self.mean = (7 * self.mean + gap) / 8;
    }

    pub(super) fn is_busy(self) -> bool {
        self.mean < BUSY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(count: u32, gap: Duration) -> Pace {
        let begin = Instant::now();
        let mut pace = Pace::default();
        for number in 0..count {
            pace.note(begin + gap * number);
        }
        pace
    }

    #[test]
    fn a_room_is_busy_while_publications_come_close_together() {
        assert!(!after(3, Duration::ZERO).is_busy(), "a short burst");
        assert!(after(100, Duration::from_millis(2)).is_busy());
        assert!(!after(1_000, Duration::from_millis(4)).is_busy());
    }

    #[test]
    fn a_pause_ends_it() {
        let begin = Instant::now();
        let mut pace = after(100, Duration::from_millis(2));
        pace.note(begin + Duration::from_mins(1));
        assert!(!pace.is_busy());
    }
}
