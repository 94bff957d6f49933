//! Keys that an issuer publishes (JWK Set, RFC 7517): fetched at the start and every `jwks_refresh`, and when a token names a key that
//! is not known, at most once in [`PAUSE`]. What was fetched is kept until something better comes: an issuer that is away, slow or
//! talks nonsense takes no key from anybody.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, Limited};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::issuer::{Key, MAX_KEYS, is_public};
use crate::{
    config::{IssuerSettings, ProxyUrl},
    metrics::TokenMetrics,
    outbound::{self, Authorities, HttpClient, chain},
};

/// From a request to its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests, whatever tokens name.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest pause while requests fail.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Largest answer in bytes.
const MAX_SIZE: usize = 256 * 1024;

/// What a request for the keys came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Done,
    Failed,
}

pub(super) struct Jwks {
    name: String,
    url: ProxyUrl,
    refresh: Duration,
    http: HttpClient,
    keys: ArcSwap<Vec<Key>>,
    /// How many were wanted by tokens, and how many requests have ended, the last of them so.
    wanted: watch::Sender<u64>,
    ended: watch::Sender<(u64, Fetch)>,
    is_running: AtomicBool,
    metrics: TokenMetrics,
}

impl Jwks {
    pub(super) fn new(settings: &IssuerSettings, metrics: &TokenMetrics) -> io::Result<Arc<Self>> {
        let url = settings.jwks_url.clone().ok_or(io::ErrorKind::InvalidInput)?;
        let authorities = Authorities::of(url.is_secure(), settings.jwks_ca_file.as_deref());
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            refresh: settings.jwks_refresh,
            http: outbound::client(authorities, None, 1)?,
            url,
            keys: ArcSwap::default(),
            wanted: watch::Sender::new(0),
            ended: watch::Sender::new((0, Fetch::Failed)),
            is_running: AtomicBool::new(false),
            metrics: metrics.clone(),
        }))
    }

    pub(super) fn keys(&self) -> Arc<Vec<Key>> {
        self.keys.load_full()
    }

    /// Ends when nobody has the keys any more.
    pub(super) fn start(self: &Arc<Self>, runtime: &Handle) {
        if self.is_running.swap(true, Ordering::Relaxed) {
            return;
        }
        let (this, mut wanted) = (Arc::downgrade(self), self.wanted.subscribe());
        runtime.spawn(async move {
            let mut pause = PAUSE;
            loop {
                let Some(jwks) = this.upgrade() else { return };
                let began = Instant::now();
                wanted.borrow_and_update();
                let fetch = jwks.request().await;
                jwks.ended.send_modify(|ended| *ended = (ended.0 + 1, fetch));
                let (soonest, next) = match fetch {
                    Fetch::Done => (began + PAUSE, began + jwks.refresh),
                    Fetch::Failed => (began + pause, began + pause),
                };
                pause = match fetch {
                    Fetch::Done => PAUSE,
                    Fetch::Failed => (pause * 2).min(LONGEST_PAUSE),
                };
                drop(jwks);
                sleep_until(soonest).await;
                tokio::select! {
                    // The sender is gone with the keys.
                    changed = wanted.changed() => if changed.is_err() { return },
                    () = sleep_until(next) => {}
                }
            }
        });
    }

    /// Waits for the end of the next request.
    pub(super) async fn fetch(&self) -> Fetch {
        let mut ended = self.ended.subscribe();
        let (before, _) = *ended.borrow_and_update();
        self.wanted.send_modify(|wanted| *wanted += 1);
        let waiting = async {
            let ended = ended.wait_for(|(count, _)| *count > before).await;
            ended.map_or(Fetch::Failed, |ended| ended.1)
        };
        timeout(PAUSE + TIMEOUT, waiting).await.unwrap_or(Fetch::Failed)
    }

    async fn request(&self) -> Fetch {
        let fetched = timeout(TIMEOUT, self.get()).await;
        let fetched = fetched.unwrap_or_else(|_| Err("there was no answer in time".to_owned()));
        let fetch = match fetched.and_then(|body| read(&body)) {
            Ok(keys) => {
                let count = keys.len();
                if self.keys.swap(Arc::new(keys)).is_empty() {
                    info!(tokens = self.name, keys = count, "fetched the keys of an issuer");
                }
                Fetch::Done
            }
            Err(error) => {
                warn!(
                    tokens = self.name,
                    error, "cannot fetch the keys of an issuer; those that are known stay"
                );
                Fetch::Failed
            }
        };
        self.metrics.fetched(&self.name, fetch == Fetch::Done);
        fetch
    }

    async fn get(&self) -> Result<Bytes, String> {
        let request = Request::get(self.url.uri().clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(
                header::USER_AGENT,
                concat!("natter-gateway/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let answer = self.http.request(request).await.map_err(|error| chain(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it was answered with status {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_SIZE).collect().await;
        body.map(Collected::to_bytes).map_err(|error| error.to_string())
    }
}

/// The keys, each read by itself.
#[derive(Deserialize)]
struct KeySet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// What is not understood is left out (RFC 7517 section 5), and so are secrets and keys for something else; none at all is no answer.
fn read(body: &[u8]) -> Result<Vec<Key>, String> {
    let set: KeySet<'_> =
        serde_json::from_slice(body).map_err(|error| format!("it is no set of keys: {error}"))?;
    let keys = set.keys.iter().filter_map(|key| verifying(key.get()));
    let keys: Vec<Key> = keys.take(MAX_KEYS).collect();
    if keys.is_empty() {
        return Err("it holds no public key that is understood".to_owned());
    }
    Ok(keys)
}

/// A public key that signatures may be verified with, by its own word as well.
fn verifying(text: &str) -> Option<Key> {
    let jwk: Jwk = serde_json::from_str(text).ok()?;
    let common = &jwk.common;
    let is_to_verify = common
        .public_key_use
        .as_ref()
        .is_none_or(|wanted| *wanted == PublicKeyUse::Signature);
    let verifies = |operations: &Vec<_>| operations.contains(&KeyOperations::Verify);
    if !is_to_verify || !common.key_operations.as_ref().is_none_or(verifies) {
        return None;
    }
    let algorithm = common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    is_public(&key).then(|| Key {
        id: common.key_id.clone(),
        algorithm,
        key,
    })
}
