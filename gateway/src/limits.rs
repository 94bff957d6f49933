//! Limits: how often something may happen and how many connections there may be (`meter`, `limiter`), by name (`kind`), and
//! the limit of open files, which is raised at start, watched while running, and never run into.
//!
//! A gateway that runs out of descriptors can neither accept nor reconnect to its bus, so new sockets are
//! refused at 95 % of the limit, and at 98 % closed without a word: whoever opens sockets and says nothing must not
//! lock out the ops port, whose probes would then have the gateway restarted. Sockets are counted where they are
//! accepted; everything else (bus, log, runtime) is a base that is measured now and then.

mod keyed;
mod kind;
mod limiter;
mod meter;
mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{MissedTickBehavior, interval};

pub use self::{
    kind::Limit,
    limiter::Limiter,
    meter::{Meter, Nanos, Rate},
    place::Place,
};

/// Share of the limit, in percent, from which new sockets are refused.
const FULL_PERCENT: u64 = 95;
/// Share of the limit, in percent, from which new sockets are closed at once.
const EXHAUSTED_PERCENT: u64 = 98;
/// Share of the limit, in percent, from which each newcomer to the ops port has an older one give way. What lies between this and the
/// share above is for the ops port alone, the rest for the bus.
const SCARCE_PERCENT: u64 = 99;
/// How often the base is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// The descriptors of this process.
const DESCRIPTORS: &str = "/proc/self/fd";

/// The soft limit of open files before and after [`raise_file_limit`]. `u64::MAX` stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaisedLimit {
    pub before: u64,
    pub after: u64,
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_file_limit() -> io::Result<RaisedLimit> {
    let old = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: old.maximum,
            maximum: old.maximum,
        },
    )?;
    let new = getrlimit(Resource::Nofile);
    Ok(RaisedLimit {
        before: old.current.unwrap_or(u64::MAX),
        after: new.current.unwrap_or(u64::MAX),
    })
}

/// The limit of open files and how much of it is used.
#[derive(Debug)]
pub struct FileLimit {
    limit: u64,
    /// Sockets that hold a [`FileGuard`].
    sockets: AtomicU64,
    /// All other descriptors, as last measured.
    base: AtomicU64,
}

impl FileLimit {
    /// The limit of this process as it is now.
    pub fn of_process() -> Arc<Self> {
        Self::new(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// `limit` counts descriptors.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            sockets: AtomicU64::new(0),
            base: AtomicU64::new(0),
        })
    }

    /// Descriptors that the process may open.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Descriptors in use: counted sockets and the measured rest.
    pub fn used(&self) -> u64 {
        self.sockets
            .load(Ordering::Relaxed)
            .saturating_add(self.base.load(Ordering::Relaxed))
    }

    /// Sockets that fit before new ones are refused, those that are open included.
    pub fn connections(&self) -> u64 {
        let full = u128::from(self.limit) * u128::from(FULL_PERCENT) / 100;
        let full = u64::try_from(full).unwrap_or(u64::MAX);
        full.saturating_sub(self.base.load(Ordering::Relaxed))
    }

    /// Counts a socket until the guard drops; `None` when there is no room even for telling it that there is none.
    pub fn admit(self: &Arc<Self>) -> Option<FileGuard> {
        let sockets = self.sockets.fetch_add(1, Ordering::Relaxed);
        let used = sockets.saturating_add(self.base.load(Ordering::Relaxed));
        let guard = FileGuard {
            limit: Arc::clone(self),
            is_refused: !self.is_below(FULL_PERCENT, used),
        };
        self.is_below(EXHAUSTED_PERCENT, used).then_some(guard)
    }

    /// Counts a socket until the guard drops, whatever there is: the ops port bounds its own.
    pub fn count(self: &Arc<Self>) -> FileGuard {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        FileGuard {
            limit: Arc::clone(self),
            is_refused: false,
        }
    }

    /// Whether so much is used that also the ops port has to do with what it has.
    pub fn is_scarce(&self) -> bool {
        !self.is_below(SCARCE_PERCENT, self.used())
    }

    /// In 128 bits, as a limit of `u64::MAX` would overflow.
    fn is_below(&self, percent: u64, used: u64) -> bool {
        u128::from(used) * 100 < u128::from(self.limit) * u128::from(percent)
    }

    /// Measures the descriptors that are no counted sockets. Sockets that come or go meanwhile blur it by as
    /// many.
    pub fn measure(&self) -> io::Result<()> {
        self.measured(open_descriptors()?);
        Ok(())
    }

    fn measured(&self, open: u64) {
        let base = open.saturating_sub(self.sockets.load(Ordering::Relaxed));
        self.base.store(base, Ordering::Relaxed);
    }

    /// Measures every five seconds, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = interval(MEASURE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let limit = Arc::clone(&self);
            // Before Linux 6.2 the count is a directory of as many entries as there are sockets.
            let measured = tokio::task::spawn_blocking(move || limit.measure()).await;
            if let Ok(Err(error)) = measured {
                tracing::debug!(%error, "cannot count open descriptors");
            }
        }
    }
}

/// One counted socket.
#[derive(Debug)]
#[must_use = "the socket is counted as long as the guard lives"]
pub struct FileGuard {
    limit: Arc<FileLimit>,
    is_refused: bool,
}

impl FileGuard {
    /// Whether the limit was nearly reached when the socket came: it may be told so, and nothing else.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        self.limit.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Since Linux 6.2 the size of the directory is the count; earlier kernels say 0 there.
fn open_descriptors() -> io::Result<u64> {
    let size = fs::metadata(DESCRIPTORS)?.len();
    if size > 0 {
        return Ok(size);
    }
    // The directory itself is open while it is read.
    Ok((fs::read_dir(DESCRIPTORS)?.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_95_percent_closes_at_98_and_admits_again() {
        let limit = FileLimit::new(100);
        let mut guards: Vec<_> = (0..95).map(|_| limit.admit().unwrap()).collect();
        assert!(guards.iter().all(|guard| !guard.is_refused()));
        guards.extend((0..3).map(|_| limit.admit().unwrap()));
        assert!(guards[95..].iter().all(FileGuard::is_refused));
        assert!(limit.admit().is_none());
        assert_eq!(limit.used(), 98, "a socket that is closed at once is not counted");
        guards.truncate(94);
        assert!(!limit.admit().unwrap().is_refused());
        drop(guards);
        assert_eq!(limit.used(), 0);
    }

    #[test]
    fn the_ops_port_is_let_in_where_the_public_one_is_not() {
        let limit = FileLimit::new(100);
        let public: Vec<_> = (0..98).map(|_| limit.admit().unwrap()).collect();
        assert!(limit.admit().is_none() && !limit.is_scarce());
        let ops = limit.count();
        assert!(limit.is_scarce());
        assert_eq!(limit.used(), 99);
        drop((public, ops));
        assert_eq!(limit.used(), 0);
    }

    #[test]
    fn descriptors_that_are_no_sockets_count() {
        let limit = FileLimit::new(100);
        let _sockets: Vec<_> = (0..10).map(|_| limit.admit().unwrap()).collect();
        limit.measured(95);
        assert_eq!(limit.used(), 95, "counted sockets are not counted again");
        assert_eq!(limit.connections(), 10);
        assert!(limit.admit().unwrap().is_refused());
        limit.measured(94);
        assert!(!limit.admit().unwrap().is_refused());
    }

    #[test]
    fn measures_this_process() {
        let limit = FileLimit::new(1_000_000);
        limit.measure().unwrap();
        assert!(
            limit.used() >= 3,
            "stdin, stdout and stderr at least: {}",
            limit.used()
        );
    }

    #[test]
    fn no_limit_admits() {
        assert!(FileLimit::new(u64::MAX).admit().is_some());
        assert!(FileLimit::new(u64::MAX).connections() > u64::MAX / 2);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_file_limit().unwrap();
        assert!(raised.after >= raised.before);
        assert_eq!(
            getrlimit(Resource::Nofile).current,
            getrlimit(Resource::Nofile).maximum
        );
        assert_eq!(FileLimit::of_process().limit(), raised.after);
    }
}
