//! The operator's line to the gateways: what they say of themselves, and what they are told.
//!
//! Every call has a time limit, few are made at once, and what a gateway said counts for a while only: a gateway that
//! does not answer is one of which nothing is known, and whoever decides has to see that.

mod client;
mod samples;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::debug;

pub use self::client::{Call, CallError, Client, Said};
use self::samples::Known;
use crate::{build::OPS_PORT, fleet::Sample};

/// Gateways that are asked at the same time, of one cluster.
const CONCURRENCY: usize = 16;
/// A cluster's gateways are not asked again within this time.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// What was said counts for this time.
const MAX_AGE: Duration = Duration::from_secs(30);

/// What is known of the gateways of all clusters.
pub struct Gateways {
    client: Client,
    known: Mutex<HashMap<String, Known>>,
    asked: Mutex<HashMap<String, Instant>>,
}

/// What a round of questions came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub answered: usize,
    pub silent: usize,
    /// Gateways that did not accept the token.
    pub refused: usize,
}

impl Gateways {
    pub fn new() -> Result<Self, CallError> {
        Ok(Self {
            client: Client::new()?,
            known: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// Asks the gateways of a cluster how they are, unless that was done just now.
    pub async fn ask(&self, cluster: &str, pods: &[Arc<Pod>], token: &str) -> Option<Round> {
        if !self.is_due(cluster) {
            return None;
        }
        self.forget_others(cluster, pods);
        let addresses: Vec<_> = pods
            .iter()
            .filter_map(|pod| Some((key(pod), address(pod)?)))
            .collect();
        let answers = stream::iter(addresses)
            .map(|(key, address)| async move { (key, self.client.call(&address, &Call::State, token).await) })
            .buffer_unordered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await;
        let mut round = Round::default();
        for (key, answer) in answers {
            match answer {
                Ok(said) => {
                    round.answered += 1;
                    self.known.lock().entry(key).or_default().heard(cluster, said);
                }
                Err(error) => {
                    round.silent += 1;
                    round.refused += usize::from(error.is_unauthorized());
                    debug!(cluster, %error, "a gateway does not say how it is");
                }
            }
        }
        Some(round)
    }

    /// What a pod said, if that was lately. `config` is the SHA-1 of the configuration file that it shall have; `None`: of no account.
    pub fn sample(&self, pod: &Pod, config: Option<&str>) -> Option<Sample> {
        self.known.lock().get_mut(&key(pod))?.sample(MAX_AGE, config)
    }

    /// Tells a pod something, and takes in what it answers.
    pub async fn tell(&self, cluster: &str, pod: &Pod, call: &Call, token: &str) -> Result<(), CallError> {
        let address = address(pod).ok_or(CallError::NoAddress)?;
        let said = self.client.call(&address, call, token).await?;
        self.known
            .lock()
            .entry(key(pod))
            .or_default()
            .heard(cluster, said);
        Ok(())
    }

    fn is_due(&self, cluster: &str) -> bool {
        let mut asked = self.asked.lock();
        let now = Instant::now();
        let due = asked
            .get(cluster)
            .is_none_or(|last| now.duration_since(*last) >= ASK_EVERY);
        if due {
            asked.insert(cluster.to_owned(), now);
        }
        due
    }

    /// Pods that are gone.
    fn forget_others(&self, cluster: &str, pods: &[Arc<Pod>]) {
        let there: Vec<_> = pods.iter().map(|pod| key(pod)).collect();
        self.known
            .lock()
            .retain(|key, known| !known.is_of(cluster) || there.contains(key));
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &str) {
        self.forget_others(cluster, &[]);
        self.asked.lock().remove(cluster);
    }
}

/// A pod of the same name is another one; so is its container once it was started again, which its answers show.
fn key(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

fn address(pod: &Pod) -> Option<String> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?;
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.clone()
    };
    Some(format!("{host}:{OPS_PORT}"))
}

#[cfg(test)]
mod tests;
