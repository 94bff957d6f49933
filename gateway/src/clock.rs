//! Wall-clock time, the only clock that gateways, backends and tokens share.

use std::time::Duration;

/// Since the Unix epoch.
#[cfg(not(test))]
pub fn since_epoch() -> Duration {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// In tests it goes with tokio's timers, so that it stands still where they do.
#[cfg(test)]
#[expect(
    clippy::disallowed_types,
    reason = "the first to ask may be a test whose clock stands still"
)]
pub fn since_epoch() -> Duration {
    use std::{
        sync::LazyLock,
        time::{Instant, SystemTime, UNIX_EPOCH},
    };
    static BEGIN: LazyLock<(Instant, Duration)> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        (Instant::now(), now.unwrap_or_default())
    });
    let (begin, epoch) = *BEGIN;
    epoch + tokio::time::Instant::now().saturating_duration_since(begin.into())
}

/// The Unix time in whole seconds.
pub fn unix_now() -> u64 {
    since_epoch().as_secs()
}
