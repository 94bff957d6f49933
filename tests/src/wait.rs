//! The one way to wait for a condition that announces itself nowhere.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep_until, timeout_at};

/// Time between two looks at the condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// What one look at a condition can say: it holds (with a value) or not yet (with a state to show).
pub trait Probe {
    /// What [`eventually`] gives back once the condition holds.
    type Value;

    /// The value, or the state that is shown should the wait fail.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl Probe for bool {
    type Value = ();

    fn outcome(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("condition is false".to_owned())
        }
    }
}

impl<T> Probe for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Display> Probe for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        // The alternate form prints the causes of an anyhow error too.
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Looks every 20 ms until `probe` holds, at most for `limit`.
///
/// `what` names the condition in the error, which carries the last state seen. A probe that hangs is cut off at the
/// limit. A probe that knows the wait is pointless gives `Ok(Err(..))` and the caller unwraps both layers.
pub async fn eventually<P, F>(what: &str, limit: Duration, mut probe: F) -> Result<P::Value>
where
    P: Probe,
    F: AsyncFnMut() -> P,
{
    let deadline = Instant::now() + limit;
    let mut last = "the first look did not finish".to_owned();
    loop {
        let Ok(looked) = timeout_at(deadline, probe()).await else {
            bail!("{what}: not within {limit:?}; a look hung, the last state was: {last}");
        };
        match looked.outcome() {
            Ok(value) => return Ok(value),
            Err(state) => last = state,
        }
        let next = Instant::now() + INTERVAL;
        if next >= deadline {
            bail!("{what}: not within {limit:?}; last state: {last}");
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_the_value_once_it_is_there() {
        let mut looks = 0;
        let value = eventually("third look", Duration::from_secs(1), async || {
            looks += 1;
            (looks == 3).then_some("here")
        });
        assert_eq!(value.await.unwrap(), "here");
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_names_the_condition_and_the_last_state() {
        let mut looks = 0;
        let error = eventually("room is empty", Duration::from_millis(50), async || {
            looks += 1;
            Err::<(), _>(format!("{looks} members"))
        })
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "room is empty: not within 50ms; last state: 3 members"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_cut_off() {
        let error = eventually("silence", Duration::from_millis(50), async || {
            std::future::pending::<()>().await;
            true
        })
        .await
        .unwrap_err();
        assert!(error.to_string().contains("a look hung"), "{error}");
    }
}
