//! Waiting until a server does nothing any more, so that what is read then is not of the work before.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::server::Server;

/// A server that used less CPU than the larger in as long as the smaller is quiet.
const QUIET_FOR: Duration = Duration::from_secs(1);
const QUIET_CPU: Duration = Duration::from_millis(20);
/// When waiting has no sense any more.
const LIMIT: Duration = Duration::from_secs(30);

pub async fn wait(server: &Server) -> anyhow::Result<()> {
    let limit = Instant::now() + LIMIT;
    let mut before = server.cpu()?;
    while Instant::now() < limit {
        sleep(QUIET_FOR).await;
        let now = server.cpu()?;
        if (now - before).used() < QUIET_CPU {
            return Ok(());
        }
        before = now;
    }
    eprintln!("warning: the server is still busy after {LIMIT:?} without load");
    Ok(())
}
