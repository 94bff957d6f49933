//! Reads the Lease again and again, and says whether this operator leads and whether the API server answers.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::Api;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use super::{CALL_TIMEOUT, LEASE, reading::Reading};
use crate::ops::Health;

/// Pause between two reads.
const READ_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Observer {
    api: Api<Lease>,
    reading: Reading,
    /// What whoever renews the lease believes; it does not notice that it cannot.
    taken: watch::Receiver<bool>,
    leads: watch::Sender<bool>,
    health: Health,
}

impl Observer {
    /// The answer tells whether this operator leads.
    pub(super) fn new(
        api: Api<Lease>,
        identity: &str,
        taken: watch::Receiver<bool>,
        health: Health,
    ) -> (Self, watch::Receiver<bool>) {
        let (leads, receiver) = watch::channel(false);
        let observer = Self {
            api,
            reading: Reading::new(identity, Instant::now()),
            taken,
            leads,
            health,
        };
        (observer, receiver)
    }

    /// Ends when nobody renews the lease any more.
    pub(super) async fn run(mut self) {
        loop {
            self.read().await;
            tokio::select! {
                () = sleep(READ_EVERY) => {}
                changed = self.taken.changed() => if changed.is_err() {
                    self.health.set(Some("nobody renews the Lease any more".to_owned()));
                    return;
                },
            }
        }
    }

    async fn read(&mut self) {
        let read = match timeout(CALL_TIMEOUT, self.api.get(LEASE)).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "no answer within {}",
                humantime::format_duration(CALL_TIMEOUT)
            )),
        };
        let now = Instant::now();
        self.reading.take(read, now, Timestamp::now());
        let leads = *self.taken.borrow() && self.reading.is_ours(now);
        if self
            .leads
            .send_if_modified(|led| std::mem::replace(led, leads) != leads)
            && !leads
        {
            warn!("no longer leads");
        }
        let trouble = self.reading.trouble(now);
        match (self.health.set(trouble.clone()), trouble) {
            (true, Some(reason)) => warn!(%reason, "not ready"),
            (true, None) => info!("ready again"),
            (false, _) => {}
        }
    }
}
