//! Whether the machine has nothing else to do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{kernel::machine_busy, usage::QUIET_CORES};

/// How long it must be quiet.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until the machine is quiet, or for `limit`; tells how many cores were in use in the end.
pub(super) async fn wait(limit: Duration) -> anyhow::Result<f64> {
    let limit = Instant::now() + limit;
    loop {
        let (began, before) = (Instant::now(), machine_busy()?);
        sleep(LOOK).await;
        let cores = machine_busy()?.saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
        if cores < QUIET_CORES || Instant::now() >= limit {
            return Ok(cores);
        }
    }
}
