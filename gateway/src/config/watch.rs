//! Notices that the configuration file has another content.
//!
//! A mounted `ConfigMap` changes by swapping a symlink two directories up: the file itself never gets an inotify event,
//! and a watch on it follows the old inode. Reading a few kilobytes every two seconds sees every kind of
//! change alike. A change counts once two reads in a row agree, so that an editor's half-written file is not loaded.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How often the gateway looks.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A hash of the content; `None`: the file cannot be read.
type Fingerprint = Option<u64>;

/// Watches one file, from the content that it had when this was made.
pub struct Watcher {
    path: PathBuf,
    interval: Duration,
    ticks: Option<Interval>,
    content: Content,
}

/// The content reported last and the content seen last.
struct Content {
    reported: Fingerprint,
    seen: Fingerprint,
}

impl Watcher {
    /// Takes the present content as known.
    pub fn new(path: impl Into<PathBuf>, interval: Duration) -> Self {
        let path = path.into();
        let now = fingerprint(&path);
        Self {
            path,
            interval,
            ticks: None,
            content: Content {
                reported: now,
                seen: now,
            },
        }
    }

    /// Waits until the content has changed, or the file became unreadable, since the last call that returned; two polls
    /// of the file at least. Dropping the future loses no change.
    pub async fn changed(&mut self) {
        loop {
            let interval = self.interval;
            self.ticks.get_or_insert_with(|| ticks(interval)).tick().await;
            let path = self.path.clone();
            // The file may stand on a mount that hangs. A read that was not finished says nothing.
            let Ok(now) = tokio::task::spawn_blocking(move || fingerprint(&path)).await else {
                continue;
            };
            if self.content.observe(now) {
                return;
            }
        }
    }
}

impl Content {
    /// Takes in one read; true once a new content was seen twice in a row.
    fn observe(&mut self, now: Fingerprint) -> bool {
        let settled = self.seen == now;
        self.seen = now;
        let news = settled && self.reported != now;
        if news {
            self.reported = now;
        }
        news
    }
}

fn ticks(interval: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn fingerprint(path: &Path) -> Fingerprint {
    let content = fs::read(path).ok()?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests;
