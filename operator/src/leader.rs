//! Leader election by a Lease: of several operators one works, the others wait. The lease is given back on the way out, so
//! that the next one starts at once instead of after the lease's time.

use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::{info, warn};

const LEASE: &str = "natter-operator";
/// Seconds after which a lease that is not renewed may be taken; renewed `GRACE_SECONDS` before.
const DURATION_SECONDS: u64 = 15;
const GRACE_SECONDS: u64 = 5;
/// Longest time to give the lease back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes part in the election.
pub struct Election {
    leads: watch::Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
}

impl Election {
    /// Joins as `identity`, with the Lease in `namespace`.
    pub async fn join(client: Client, namespace: &str, identity: &str) -> anyhow::Result<Self> {
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .with_context(|| format!("cannot use the Lease {LEASE} in namespace {namespace}"))?;
        let (leads, task) = manager.watch().await;
        Ok(Self { leads, task })
    }

    /// Resolves when this operator leads.
    pub async fn won(&mut self) {
        // A sender that is gone never lets anybody lead: then the wait is for ever, and the process is told to stop.
        if self.leads.wait_for(|leads| *leads).await.is_err() {
            std::future::pending::<()>().await;
        }
        info!("leads");
    }

    /// Resolves when this operator no longer leads.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut leads = self.leads.clone();
        async move {
            // A sender that is gone means the same.
            let _ = leads.wait_for(|leads| !*leads).await;
        }
    }

    /// Gives the lease back.
    pub async fn leave(self) {
        drop(self.leads);
        match timeout(RELEASE_TIMEOUT, self.task).await {
            Ok(Ok(Ok(_))) => info!("lease is given back"),
            Ok(Ok(Err(error))) => warn!(%error, "lease was not given back"),
            Ok(Err(error)) => warn!(%error, "lease was not given back"),
            Err(_) => warn!("lease was not given back in time"),
        }
    }
}
