//! Files that are read again while the gateway runs, so that what stands in them is changed by changing the file: keys, headers.
//!
//! A task reads them, on a thread where waiting for a disk holds up nobody; whoever asks gets what was read last. Contents are read
//! and not the times of files looked at: what replaces a file may keep its time, and a mounted Secret is a chain of links.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    task::{AbortHandle, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tracing::{error, warn};

/// What was read of a file, or of several that belong together. Reading ends when it is dropped.
pub(crate) struct WatchedFile<T> {
    value: Arc<ArcSwap<T>>,
    follower: AbortHandle,
}

impl<T: Send + Sync + 'static> WatchedFile<T> {
    /// Reads now, and again `every` so long, on the runtime that this is called on. One that becomes unusable leaves what was read
    /// before, and a line in the log that `what` stays as it was.
    ///
    /// # Errors
    /// It cannot be used now.
    pub(crate) fn open<E: fmt::Display + 'static>(
        what: &'static str,
        every: Duration,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let value = Arc::new(ArcSwap::from_pointee(read()?));
        let mut look = Look {
            what,
            read,
            value: value.clone(),
            last_error: None,
        };
        let follower = tokio::spawn(again(every, move || look.look())).abort_handle();
        Ok(Self { value, follower })
    }

    /// What was read last.
    pub(crate) fn current(&self) -> Arc<T> {
        self.value.load_full()
    }
}

/// Looks `every` so long, on a thread where waiting for a disk holds up nobody. Also for who does more with what it sees than to
/// keep it.
pub(crate) async fn again(every: Duration, mut look: impl FnMut() + Send + 'static) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looked = spawn_blocking(move || {
            look();
            look
        });
        match looked.await {
            Ok(again) => look = again,
            Err(error) => return error!(%error, "a file is not followed any more"),
        }
    }
}

impl<T> Drop for WatchedFile<T> {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// The contents are often secret.
impl<T> fmt::Debug for WatchedFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").finish_non_exhaustive()
    }
}

struct Look<T, R> {
    what: &'static str,
    read: R,
    value: Arc<ArcSwap<T>>,
    /// Told already.
    last_error: Option<String>,
}

impl<T, E, R> Look<T, R>
where
    T: Send + Sync + 'static,
    E: fmt::Display + 'static,
    R: Fn() -> Result<T, E> + Send + Sync + 'static,
{
    fn look(&mut self) {
        match (self.read)() {
            Ok(value) => {
                self.value.store(Arc::new(value));
                self.last_error = None;
            }
            Err(error) => {
                let error = error.to_string();
                if self.last_error.as_ref() != Some(&error) {
                    warn!(what = self.what, %error, "a file cannot be used: what was read before stays in force");
                    self.last_error = Some(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tokio::time::sleep;

    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    fn open(path: &Path) -> Result<WatchedFile<u32>, String> {
        let path = path.to_owned();
        WatchedFile::open("a number", EVERY, move || {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            text.trim().parse().map_err(|_| "no number".to_owned())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_and_a_broken_one_leaves_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert!(open(&path).is_err(), "it is not there");
        fs::write(&path, "1").unwrap();
        let number = open(&path).unwrap();
        assert_eq!(*number.current(), 1);
        for (text, expected) in [(Some("2"), 2), (Some("none"), 2), (None, 2), (Some("3"), 3)] {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            sleep(2 * EVERY).await;
            assert_eq!(*number.current(), expected, "{text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_not_read_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        let number = open(&path).unwrap();
        let value = number.value.clone();
        drop(number);
        fs::write(&path, "2").unwrap();
        sleep(2 * EVERY).await;
        assert_eq!(**value.load(), 1);
    }
}
