//! How often a room publishes.
//!
//! A write to a socket costs nearly the same for one frame and for eight, so in a room where the next publication comes
//! within milliseconds anyway it pays to wait for it; in any other room it would only delay the first one
//! (docs/benchmarks.md has both, measured).

use std::time::Duration;

use tokio::time::Instant;

/// The publications of a room, seen from one worker.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    /// Time between two of them on average; the newer ones weigh more.
    mean: Duration,
    /// When members were last given some.
    given: Option<Instant>,
}

impl Pace {
    /// A publication came. One that comes later than `window` after the last is not held up, whatever was before: members
    /// were given something longer ago than that.
    pub(super) fn note(&mut self, now: Instant, window: Duration) {
        // After a pause, however long, it takes some publications to be busy again.
        let longest = window * 16;
        let last = self.last.replace(now);
        let gap = last.map_or(longest, |last| now.saturating_duration_since(last).min(longest));
        self.mean = match last {
            Some(_) => (self.mean * 7 + gap) / 8,
            None => longest,
        };
    }

    /// Whether another publication comes within `window` on average.
    pub(super) fn is_busy(self, window: Duration) -> bool {
        self.mean < window
    }

    /// Members are given something now.
    pub(super) fn give(&mut self, now: Instant) {
        self.given = Some(now);
    }

    /// How much longer to collect, where `collected` publications wait: until `window` after members were last given
    /// something, or half of it once there are two. Those two share a write already, and a timer is late by a
    /// millisecond or two, which a publication that comes in time is not.
    pub(super) fn rest(self, now: Instant, window: Duration, collected: usize) -> Duration {
        let window = if collected < 2 { window } else { window / 2 };
        let passed = self.given.map(|given| now.saturating_duration_since(given));
        window.saturating_sub(passed.unwrap_or(window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(5);

    struct Room {
        pace: Pace,
        now: Instant,
    }

    impl Room {
        fn after(count: usize, gap: Duration) -> Self {
            let mut room = Self {
                pace: Pace::default(),
                now: Instant::now(),
            };
            for _ in 0..count {
                room.publish(gap);
            }
            room
        }

        fn publish(&mut self, gap: Duration) -> bool {
            self.now += gap;
            self.pace.note(self.now, WINDOW);
            self.is_busy()
        }

        fn is_busy(&self) -> bool {
            self.pace.is_busy(WINDOW)
        }
    }

    #[test]
    fn a_room_is_busy_while_publications_come_close_together() {
        assert!(!Room::after(3, Duration::ZERO).is_busy(), "a short burst");
        assert!(Room::after(100, WINDOW * 4 / 5).is_busy());
        assert!(!Room::after(1_000, WINDOW).is_busy());
    }

    #[test]
    fn a_pause_ends_it() {
        let mut room = Room::after(100, WINDOW / 5);
        assert!(!room.publish(Duration::from_mins(1)));
        assert!(!room.publish(Duration::from_micros(10)));
    }

    #[test]
    fn a_small_gap_does_not() {
        let mut room = Room::after(100, WINDOW / 5);
        assert!(room.publish(WINDOW + WINDOW / 5));
    }

    #[test]
    fn it_is_collected_until_a_window_after_members_were_given_something() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.rest(now, WINDOW, 1), Duration::ZERO);
        pace.give(now);
        assert_eq!(pace.rest(now + WINDOW / 5, WINDOW, 1), WINDOW * 4 / 5);
        assert_eq!(pace.rest(now + WINDOW * 2, WINDOW, 1), Duration::ZERO);
    }

    #[test]
    fn two_that_wait_are_given_after_half_of_it() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.give(now);
        assert_eq!(pace.rest(now + WINDOW / 5, WINDOW, 2), WINDOW * 3 / 10);
        assert_eq!(pace.rest(now + WINDOW / 2, WINDOW, 2), Duration::ZERO);
    }

    #[test]
    fn without_a_window_no_room_is_busy() {
        let mut pace = Pace::default();
        let now = Instant::now();
        for _ in 0..100 {
            pace.note(now, Duration::ZERO);
        }
        assert!(!pace.is_busy(Duration::ZERO));
    }
}
