//! Leaves a backend alone that does not answer, so that neither it nor the clients wait for nothing.
//!
//! ```text
//! closed ─ so many failures in a row ─▶ open: calls fail at once ─ pause ─▶ trying: one call ─ answered ─▶ closed
//!                                         ▲                                        └──── failed ──▶ open
//! ```

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

pub(super) struct Breaker {
    /// 0: never opens.
    failures: u32,
    pause: Duration,
    state: Mutex<State>,
}

enum State {
    Closed {
        failed: u32,
    },
    Open {
        until: Instant,
    },
    /// One call finds out.
    Trying,
}

/// A call that may be made. Dropped unsettled it says nothing about the backend.
pub(super) struct Trial<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    is_settled: bool,
}

/// What a settled call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Opened,
    Closed,
}

impl Breaker {
    pub(super) fn new(failures: u32, pause: Duration) -> Self {
        Self {
            failures,
            pause,
            state: Mutex::new(State::Closed { failed: 0 }),
        }
    }

    /// `None` while the backend is left alone.
    pub(super) fn admit(&self) -> Option<Trial<'_>> {
        let mut state = self.state.lock();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if until <= Instant::now() => {
                *state = State::Trying;
                true
            }
            State::Open { .. } | State::Trying => return None,
        };
        Some(Trial {
            breaker: self,
            is_probe,
            is_settled: false,
        })
    }

    /// A fifth more or less, so that gateways do not come in step.
    fn open(&self) -> State {
        let pause = self.pause.mul_f64(0.8 + 0.4 * fastrand::f64());
        State::Open {
            until: Instant::now() + pause,
        }
    }
}

impl Trial<'_> {
    /// Calls that began before the breaker opened change nothing any more.
    pub(super) fn settle(mut self, is_alive: bool) -> Change {
        self.is_settled = true;
        let mut state = self.breaker.state.lock();
        match (&mut *state, is_alive) {
            (State::Closed { failed }, true) => *failed = 0,
            (State::Closed { failed }, false) => {
                *failed += 1;
                if *failed == self.breaker.failures {
                    *state = self.breaker.open();
                    return Change::Opened;
                }
            }
            (State::Trying, true) if self.is_probe => {
                *state = State::Closed { failed: 0 };
                return Change::Closed;
            }
            (State::Trying, false) if self.is_probe => *state = self.breaker.open(),
            _ => {}
        }
        Change::Nothing
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            *self.breaker.state.lock() = State::Open {
                until: Instant::now(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn fail(breaker: &Breaker) -> Change {
        breaker.admit().unwrap().settle(false)
    }

    async fn opened() -> Breaker {
        let breaker = Breaker::new(3, PAUSE);
        assert_eq!(
            [fail(&breaker), fail(&breaker), fail(&breaker)],
            [Change::Nothing, Change::Nothing, Change::Opened]
        );
        advance(PAUSE.mul_f64(0.79)).await;
        assert!(breaker.admit().is_none());
        advance(PAUSE.mul_f64(0.42)).await;
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_tries_after_the_pause_and_closes() {
        let breaker = opened().await;
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_none(), "one at a time");
        assert_eq!(probe.settle(true), Change::Closed);
        assert_eq!(fail(&breaker), Change::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_try_leaves_it_open_for_another_pause() {
        let breaker = opened().await;
        assert_eq!(fail(&breaker), Change::Nothing);
        advance(PAUSE.mul_f64(0.79)).await;
        assert!(breaker.admit().is_none());
        advance(PAUSE.mul_f64(0.42)).await;
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_lets_the_next_one_try() {
        let breaker = opened().await;
        drop(breaker.admit());
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_count() {
        let breaker = Breaker::new(2, PAUSE);
        for _ in 0..10 {
            assert_eq!(fail(&breaker), Change::Nothing);
            assert_eq!(breaker.admit().unwrap().settle(true), Change::Nothing);
        }
        let late = [breaker.admit().unwrap(), breaker.admit().unwrap()];
        fail(&breaker);
        assert_eq!(fail(&breaker), Change::Opened);
        // Calls that began before say nothing about the time after.
        for (late, is_alive) in late.into_iter().zip([true, false]) {
            assert_eq!(late.settle(is_alive), Change::Nothing);
        }
        assert!(breaker.admit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn zero_never_opens() {
        let breaker = Breaker::new(0, PAUSE);
        for _ in 0..1_000 {
            assert_eq!(fail(&breaker), Change::Nothing);
        }
    }
}
