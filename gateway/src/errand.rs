//! Work of a command at NATS, which ends: done on a runtime of its own, within a time limit.

use std::{fmt::Display, time::Duration};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, timeout_at};

/// Before what failed for the moment is tried again.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// Does the work, which leaves in its argument why it has to try again: what is told when the time is over.
pub(crate) fn within<E: Display>(
    time_limit: Duration,
    work: impl AsyncFnOnce(&mut Option<E>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut failed = None;
        let deadline = Instant::now() + time_limit;
        if let Ok(done) = timeout_at(deadline, work(&mut failed)).await {
            return done;
        }
        let limit = humantime::format_duration(time_limit);
        let reason = failed.map_or_else(String::new, |reason| format!(": {reason}"));
        bail!("not within {limit}{reason}")
    })
}
