//! The operator's line to the gateways: what they say of themselves, and what they are told.
//!
//! What a gateway said counts for a while only, from when it was asked: a gateway that does not answer is one of which nothing
//! is known, and whoever decides has to see that.
//!
//! # Who asks
//!
//! A gateway that is cut off costs each question its whole time limit, and a cluster may have a thousand of them. So a
//! reconcile only starts a round of questions, and waits a moment for it: where gateways are well, it decides on answers of that
//! very moment; where they are not, the round goes on by itself, and the reconcile goes on with what is known. Clusters that
//! are cut off hold up no other one, and gateways that are cut off hold up no others of their cluster: those that answered last are asked in
//! rounds of their own, and so are those that were never asked.
//!
//! Of each sort one round of a cluster is under way at a time, so what is open at once is bounded for each cluster. There is no
//! bound over all clusters: one that is cut off would take the place of one that is not.

mod book;
mod client;
mod samples;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::debug;

use self::book::{Book, Standing};
pub use self::client::{Call, CallError, Client, Said};
use crate::{build::OPS_PORT, fleet::Sample};

/// Gateways that are asked at the same time in one round.
const CONCURRENCY: usize = 16;
/// Gateways are not asked again within this time.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// What was said counts for this time.
const MAX_AGE: Duration = Duration::from_secs(30);
/// How long a reconcile waits for answers.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it waits for gateways that did not answer last: enough for one that has just started.
const PATIENCE_WITH_SILENT: Duration = Duration::from_millis(100);

/// What is known of the gateways of all clusters.
pub struct Gateways {
    line: Arc<Line>,
    /// What is under way; it ends with this.
    rounds: Mutex<JoinSet<()>>,
}

/// What rounds share with whoever started them.
struct Line {
    client: Client,
    port: i32,
    book: Mutex<Book>,
}

impl Gateways {
    pub fn new() -> Result<Self, CallError> {
        Self::at_port(OPS_PORT)
    }

    fn at_port(port: i32) -> Result<Self, CallError> {
        let line = Line {
            client: Client::new()?,
            port,
            book: Mutex::default(),
        };
        Ok(Self {
            line: Arc::new(line),
            rounds: Mutex::default(),
        })
    }

    /// Asks the gateways of a cluster how they are, unless that was done just now or is under way, and waits a moment for their
    /// answers. Returns whether one does not accept the token.
    pub async fn ask(&self, cluster: &str, pods: &[Arc<Pod>], token: &str) -> bool {
        let rounds = self.begin(cluster, pods, token).into_iter();
        let ends = join_all(rounds.map(|(patience, ended)| timeout(patience, ended))).await;
        if ends.iter().any(Result::is_err) {
            debug!(cluster, "gateways are still being asked how they are");
        }
        self.line.book.lock().is_refused(cluster)
    }

    /// Starts the rounds that are due. Returns their ends, and how long each is worth waiting for.
    fn begin(&self, cluster: &str, pods: &[Arc<Pod>], token: &str) -> Vec<(Duration, oneshot::Receiver<()>)> {
        let mut rounds = self.rounds.lock();
        while rounds.try_join_next().is_some() {}
        let mut book = self.line.book.lock();
        book.list(cluster, pods.iter().map(|pod| key(pod)));
        let mut ends = Vec::new();
        for standing in Standing::ALL {
            let asked: Vec<_> = pods
                .iter()
                .map(|pod| (key(pod), pod))
                .filter(|(key, _)| book.standing(key) == Some(standing))
                .filter_map(|(key, pod)| Some((key, self.line.address(pod)?)))
                .collect();
            if asked.is_empty() || !book.is_due(cluster, standing, ASK_EVERY) {
                continue;
            }
            let (end, ended) = oneshot::channel();
            let round = self.line.clone().round(asked, token.to_owned());
            let task = rounds.spawn(async move {
                round.await;
                // Who started it may have gone on.
                let _ = end.send(());
            });
            book.began(cluster, standing, task);
            let patience = match standing {
                Standing::New | Standing::Answers => PATIENCE,
                Standing::Silent => PATIENCE_WITH_SILENT,
            };
            ends.push((patience, ended));
        }
        ends
    }

    /// What a pod said, if that was lately. `config` is the SHA-1 of the configuration file that it shall have; `None`: of no account.
    pub fn sample(&self, pod: &Pod, config: Option<&str>) -> Option<Sample> {
        let mut book = self.line.book.lock();
        book.known(&key(pod))?.sample(MAX_AGE, config)
    }

    /// Tells a pod something, and takes in what it answers.
    pub async fn tell(&self, pod: &Pod, call: &Call, token: &str) -> Result<(), CallError> {
        let address = self.line.address(pod).ok_or(CallError::NoAddress)?;
        let asked = Instant::now();
        let said = self.line.client.call(&address, call, token).await?;
        self.line.book.lock().heard(&key(pod), asked, said);
        Ok(())
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &str) {
        self.line.book.lock().forget(cluster);
    }
}

impl Line {
    /// Asks each, by key and address, how it is.
    async fn round(self: Arc<Self>, asked: Vec<(String, String)>, token: String) {
        let (line, token) = (&self, &token);
        stream::iter(asked)
            .for_each_concurrent(CONCURRENCY, |(key, address)| async move {
                let asked = Instant::now();
                match line.client.call(&address, &Call::State, token).await {
                    Ok(said) => line.book.lock().heard(&key, asked, said),
                    Err(error) => {
                        debug!(address, %error, "a gateway does not say how it is");
                        line.book.lock().failed(&key, error.is_unauthorized());
                    }
                }
            })
            .await;
    }

    fn address(&self, pod: &Pod) -> Option<String> {
        let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
        let host = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.clone()
        };
        Some(format!("{host}:{}", self.port))
    }
}

/// A pod of the same name is another one; so is its container once it was started again, which its answers show.
fn key(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

#[cfg(test)]
mod tests;
