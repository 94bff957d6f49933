//! Leader election by a Lease: of several operators one works, the others wait. The lease is given back on the way out, so
//! that the next one starts at once instead of after the lease's time.
//!
//! The crate that takes and renews the lease does not say when it fails to: it goes on trying, and a leader that nobody
//! hears any more would lead on beside the next one. So the Lease is also read, all the time (`observer`): an operator leads
//! for as long as the Lease says, not longer, and leads again when it says so again.

mod observer;
mod reading;

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::{Api, Client, Config};
use kube_lease_manager::LeaseManagerBuilder;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::{info, warn};

use self::observer::Observer;
use crate::ops::Health;

const LEASE: &str = "natter-operator";
/// Seconds after which a lease that is not renewed may be taken; renewed `GRACE_SECONDS` before, so that a renewal may fail once.
const DURATION_SECONDS: u64 = 15;
const GRACE_SECONDS: u64 = 10;
/// Longest time to give the lease back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer about the Lease that takes longer comes too late.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Takes part in the election.
pub struct Election {
    leads: watch::Receiver<bool>,
    manager: JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
    observer: JoinHandle<()>,
}

impl Election {
    /// Joins as `identity`, with the Lease in `namespace`; `health` says from then on whether the API server answers.
    pub async fn join(
        config: Config,
        namespace: &str,
        identity: &str,
        health: Health,
    ) -> anyhow::Result<Self> {
        let client = client(config)?;
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .with_context(|| format!("cannot use the Lease {LEASE} in namespace {namespace}"))?;
        health.set(None);
        let (taken, manager) = manager.watch().await;
        let api = Api::namespaced(client, namespace);
        let (observer, leads) = Observer::new(api, identity, taken, health);
        Ok(Self {
            leads,
            manager,
            observer: tokio::spawn(observer.run()),
        })
    }

    /// Resolves when this operator leads; an error says that it never will.
    pub async fn won(&mut self) -> anyhow::Result<()> {
        if self.leads.wait_for(|leads| *leads).await.is_err() {
            bail!("nobody renews the Lease any more");
        }
        info!("leads");
        Ok(())
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
        // Whoever renews the lease gives it back when nobody listens any more.
        self.observer.abort();
        let _ = self.observer.await;
        match timeout(RELEASE_TIMEOUT, self.manager).await {
            Ok(Ok(Ok(_))) => info!("lease is given back"),
            Ok(Ok(Err(error))) => warn!(%error, "lease was not given back"),
            Ok(Err(error)) => warn!(%error, "lease was not given back"),
            Err(_) => warn!("lease was not given back in time"),
        }
    }
}

/// Its calls are bounded: one that hangs in a network that is split would outlast the lease.
fn client(mut config: Config) -> anyhow::Result<Client> {
    config.connect_timeout = Some(CALL_TIMEOUT);
    config.read_timeout = Some(CALL_TIMEOUT);
    config.write_timeout = Some(CALL_TIMEOUT);
    Client::try_from(config).context("cannot make a client for the Lease")
}
