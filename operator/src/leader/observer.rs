//! Reads the Lease again and again, and says whether this operator leads and whether the API server answers.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::Api;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
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
        let mut taken = self.taken.clone();
        loop {
            self.read().await;
            let pause = async {
                tokio::select! {
                    () = sleep(READ_EVERY) => Ok(()),
                    changed = taken.changed() => changed,
                }
            };
            if self.within_term(pause).await.is_err() {
                self.health
                    .set(Some("nobody renews the Lease any more".to_owned()));
                return;
            }
        }
    }

    /// Waits for `work`, and stops leading when the term ends meanwhile.
    async fn within_term<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let leads = *self.leads.borrow();
        if let Some(until) = self.reading.until().filter(|_| leads) {
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(until) => self.lead(false),
            }
        }
        work.await
    }

    fn lead(&self, leads: bool) {
        let changed = self
            .leads
            .send_if_modified(|led| std::mem::replace(led, leads) != leads);
        if changed && !leads {
            warn!("no longer leads");
        }
    }

    async fn read(&mut self) {
        let get = timeout(CALL_TIMEOUT, self.api.get(LEASE));
        let read = match self.within_term(get).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "no answer within {}",
                humantime::format_duration(CALL_TIMEOUT)
            )),
        };
        let now = Instant::now();
        self.reading.take(read, now, Timestamp::now());
        self.lead(*self.taken.borrow() && self.reading.is_ours(now));
        let trouble = self.reading.trouble(now);
        match (self.health.set(trouble.clone()), trouble) {
            (true, Some(reason)) => warn!(%reason, "not ready"),
            (true, None) => info!("ready again"),
            (false, _) => {}
        }
    }
}
