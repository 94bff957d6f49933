//! Backends that are asked about what clients do, by Centrifugo's proxy protocol over HTTP.
//!
//! A call has one time limit, retries included, and is made again only where the backend cannot have acted on it: where
//! nothing was sent, or where what is asked changes nothing. It never waits for a place: beyond `max_in_flight` it is refused.
//! A backend that fails is left alone for a while (`breaker`). Calls run on the control runtime, where they share
//! connections; who asked may go away, which ends the call.

mod answer;
mod breaker;
mod headers;
mod http;
mod request;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use arc_swap::ArcSwap;
use bytes::Bytes;
use natter_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};
use tracing::{Level, info, warn};

pub use self::{
    answer::{
        Answer, Connected, Data, Foreign, Malformed, Published, Renewal, Renewed, Subscribed, Verdict, result,
    },
    headers::{Forwarded, HeadersError, read as read_headers},
    request::{Caller, NoJson, Question},
};
use self::{
    breaker::{Breaker, Change},
    headers::Statics,
    http::{Failed, Http},
};
pub use crate::metrics::ProxyKind;
use crate::{
    config::ProxySettings,
    http::X_FORWARDED_FOR,
    metrics::{ProxyMetrics, ProxyOutcome},
    telemetry::{AskSpan, LogBudget, Tracer},
};

/// Longest pause before the first retry; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// All proxies of the configuration.
pub struct Proxies {
    table: ArcSwap<Table>,
    metrics: ProxyMetrics,
    log_budget: Arc<LogBudget>,
    tracer: Tracer,
}

#[derive(Default)]
struct Table {
    proxies: HashMap<String, Arc<Proxy>>,
    /// Headers that any of them lists.
    listed: Vec<HeaderName>,
}

/// One backend.
pub struct Proxy {
    settings: ProxySettings,
    http: Http,
    statics: Statics,
    breaker: Breaker,
    places: Semaphore,
    metrics: ProxyMetrics,
    /// Whether the gauges are its own: a reload may have ended it, or put another in its place, while it has calls.
    is_shown: Mutex<bool>,
    log_budget: Arc<LogBudget>,
    tracer: Tracer,
}

/// The proxies of new settings, ready to be taken.
pub struct Prepared(Table);

/// A proxy cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("proxy {name}: {source}")]
    Headers { name: String, source: HeadersError },
    #[error("proxy {name}: whom https is to trust: {source}")]
    Authorities { name: String, source: io::Error },
}

/// A call that is ready to be made.
pub struct Call {
    pub kind: ProxyKind,
    pub body: Bytes,
    pub forwarded: Forwarded,
    /// The client, or the room, takes any bytes and not only JSON.
    pub takes_bytes: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Answered<T> {
    pub verdict: Verdict<T>,
    /// W3C trace context of the call, where it is traced.
    pub traceparent: Option<String>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("too many calls are under way")]
    Full,
    #[error("the backend is left alone for a while")]
    Open,
    #[error("there was no answer in time")]
    Timeout,
    /// The gateway stops.
    #[error("the call was given up")]
    Cancelled,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Nothing came, or nothing that is an answer.
    #[error("{text}")]
    Failed {
        outcome: ProxyOutcome,
        text: String,
        /// The backend itself is well: it did not like the call.
        is_alive: bool,
    },
}

impl Failure {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::TooManyRequests,
            _ => ErrorCode::Internal,
        }
    }

    fn outcome(&self) -> ProxyOutcome {
        match self {
            Self::Full => ProxyOutcome::Full,
            Self::Open => ProxyOutcome::Open,
            Self::Timeout => ProxyOutcome::Timeout,
            Self::Cancelled => ProxyOutcome::Abandoned,
            Self::Malformed(_) => ProxyOutcome::Malformed,
            Self::Failed { outcome, .. } => *outcome,
        }
    }

    /// Whether the backend is well all the same. What one client can bring about by what it asks must not end the calls of all.
    fn is_alive(&self) -> bool {
        matches!(
            self,
            Self::Failed { is_alive: true, .. } | Self::Malformed(Malformed::Bytes)
        )
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        let (outcome, is_alive) = match &failed {
            Failed::Unsent(_) | Failed::Cut(_) => (ProxyOutcome::Unreachable, false),
            Failed::Status(status) => (ProxyOutcome::Status, !status.is_server_error()),
            Failed::TooLarge => (ProxyOutcome::TooLarge, true),
        };
        Self::Failed {
            outcome,
            text: failed.to_string(),
            is_alive,
        }
    }
}

impl Proxies {
    pub fn new(metrics: ProxyMetrics, log_budget: Arc<LogBudget>, tracer: Tracer) -> Self {
        Self {
            table: ArcSwap::default(),
            metrics,
            log_budget,
            tracer,
        }
    }

    /// The proxies of new settings, all or none. One that stayed as it was keeps its connections and its breaker.
    pub fn prepare(&self, settings: &[ProxySettings]) -> Result<Prepared, ProxyError> {
        let old = self.table.load();
        let mut new = Table::default();
        for settings in settings {
            let known = old.proxies.get(&settings.name);
            let proxy = match known.filter(|known| known.settings == *settings) {
                Some(known) => known.clone(),
                None => Arc::new(self.proxy(settings)?),
            };
            new.proxies.insert(settings.name.clone(), proxy);
            new.listed.extend_from_slice(&settings.http_headers);
        }
        new.listed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        new.listed.dedup();
        Ok(Prepared(new))
    }

    /// Takes them in place of those that are there.
    pub fn apply(&self, Prepared(new): Prepared) {
        let new = Arc::new(new);
        let old = self.table.swap(new.clone());
        for (name, proxy) in &old.proxies {
            let next = new.proxies.get(name);
            if !next.is_some_and(|next| Arc::ptr_eq(next, proxy)) {
                proxy.hide();
            }
            if next.is_none() {
                self.metrics.forget(name);
            }
        }
        for (name, proxy) in &new.proxies {
            let is_known = old
                .proxies
                .get(name)
                .is_some_and(|known| Arc::ptr_eq(known, proxy));
            if !is_known {
                proxy.show();
            }
        }
    }

    fn proxy(&self, settings: &ProxySettings) -> Result<Proxy, ProxyError> {
        Proxy::new(
            settings,
            self.metrics.clone(),
            self.log_budget.clone(),
            self.tracer.clone(),
        )
    }

    /// `None` for a moment after a reload that took it away.
    pub fn get(&self, name: &str) -> Option<Arc<Proxy>> {
        self.table.load().proxies.get(name).cloned()
    }

    /// What some proxy is to be given of the request for a connection.
    pub fn forwarded(&self, request: &HeaderMap) -> Forwarded {
        Forwarded::of(&self.table.load().listed, request)
    }

    /// As [`Proxies::forwarded`], with an `X-Forwarded-For` of our own in place of the request's.
    pub fn forwarded_for(&self, request: &HeaderMap, client: Option<HeaderValue>) -> Forwarded {
        let mut request = request.clone();
        match client {
            Some(client) => request.insert(X_FORWARDED_FOR, client),
            None => request.remove(X_FORWARDED_FOR),
        };
        self.forwarded(&request)
    }
}

impl Proxy {
    fn new(
        settings: &ProxySettings,
        metrics: ProxyMetrics,
        log_budget: Arc<LogBudget>,
        tracer: Tracer,
    ) -> Result<Self, ProxyError> {
        let name = settings.name.clone();
        let statics = Statics::new(settings).map_err(|source| ProxyError::Headers {
            name: name.clone(),
            source,
        })?;
        let http = Http::new(settings).map_err(|source| ProxyError::Authorities { name, source })?;
        Ok(Self {
            http,
            statics,
            breaker: Breaker::new(settings.breaker_failures, settings.breaker_pause),
            places: Semaphore::new(settings.max_in_flight),
            settings: settings.clone(),
            metrics,
            is_shown: Mutex::new(false),
            log_budget,
            tracer,
        })
    }

    fn show(&self) {
        *self.is_shown.lock() = true;
        self.count();
        self.gauge(|metrics, name| metrics.left_alone(name, false));
    }

    fn hide(&self) {
        *self.is_shown.lock() = false;
    }

    /// Locked, so that nothing is written once it is hidden.
    fn gauge(&self, set: impl FnOnce(&ProxyMetrics, &str)) {
        let is_shown = self.is_shown.lock();
        if *is_shown {
            set(&self.metrics, &self.settings.name);
        }
    }

    /// The body of a call.
    pub fn body(&self, mut caller: Caller<'_>, question: Question<'_>) -> Result<Bytes, NoJson> {
        caller.meta = caller.meta.filter(|_| self.settings.include_connection_meta);
        request::body(caller, question, self.settings.binary_encoding)
    }

    /// Asks the backend. Dropped, it ends the call.
    pub async fn ask<T: Answer>(&self, call: Call) -> Result<Answered<T>, Failure> {
        let mut record = Record {
            proxy: self,
            kind: call.kind,
            began: Instant::now(),
            outcome: ProxyOutcome::Abandoned,
        };
        let span = self.tracer.ask(call.kind.label(), &self.settings.name);
        let traceparent = span.as_ref().map(AskSpan::traceparent);
        let asked = self.ask_in_time(&call, traceparent.as_deref()).await;
        record.outcome = match &asked {
            Ok(Verdict::Result(_)) => ProxyOutcome::Result,
            Ok(Verdict::Error(_)) => ProxyOutcome::Error,
            Ok(Verdict::Disconnect { .. }) => ProxyOutcome::Disconnect,
            Err(failure) => failure.outcome(),
        };
        if let Err(failure) = &asked {
            if let Some(span) = span {
                span.fail(failure.outcome().label());
            }
            self.note(call.kind, failure);
        }
        Ok(Answered {
            verdict: asked?,
            traceparent,
        })
    }

    async fn ask_in_time<T: Answer>(
        &self,
        call: &Call,
        traceparent: Option<&str>,
    ) -> Result<Verdict<T>, Failure> {
        let _place = self.place(call.kind).ok_or(Failure::Full)?;
        self.count();
        let trial = self.breaker.admit().ok_or(Failure::Open)?;
        let answer = timeout(self.settings.timeout, self.ask_again(call, traceparent)).await;
        let asked = match answer {
            Ok(Ok(body)) => answer::read(&body, call.takes_bytes).map_err(Failure::from),
            Ok(Err(failed)) => Err(failed.into()),
            Err(_) => Err(Failure::Timeout),
        };
        let is_alive = asked.as_ref().err().is_none_or(Failure::is_alive);
        self.changed(trial.settle(is_alive));
        asked
    }

    /// Nobody waits for what the gateway asks by itself: half of the places stay for the others, however much expires at once.
    fn place(&self, kind: ProxyKind) -> Option<SemaphorePermit<'_>> {
        let kept = match kind {
            ProxyKind::Refresh | ProxyKind::SubRefresh => self.settings.max_in_flight / 2,
            _ => 0,
        };
        (self.places.available_permits() > kept)
            .then(|| self.places.try_acquire().ok())
            .flatten()
    }

    async fn ask_again(&self, call: &Call, traceparent: Option<&str>) -> Result<Bytes, Failed> {
        let listed = &self.settings.http_headers;
        let headers = headers::of_call(listed, &self.statics, &call.forwarded, traceparent);
        let mut longest = FIRST_PAUSE;
        let mut left = self.settings.retries;
        loop {
            let failed = match self.http.post(headers.clone(), call.body.clone()).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            if left == 0 || !may_repeat(call.kind, &failed) {
                return Err(failed);
            }
            left -= 1;
            sleep(longest.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            longest *= 2;
            self.metrics.retried(call.kind);
        }
    }

    fn changed(&self, change: Change) {
        let proxy = &self.settings.name;
        match change {
            Change::Nothing => {}
            Change::Opened => {
                self.gauge(|metrics, name| metrics.left_alone(name, true));
                warn!(proxy, pause = ?self.settings.breaker_pause, "a backend fails and is left alone for a while");
            }
            Change::Closed => {
                self.gauge(|metrics, name| metrics.left_alone(name, false));
                info!(proxy, "a backend answers again");
            }
        }
    }

    fn note(&self, kind: ProxyKind, failure: &Failure) {
        if self.log_budget.cause("proxy", Level::WARN).admit() {
            let proxy = &self.settings.name;
            warn!(proxy, kind = kind.label(), %failure, "a backend gave no verdict");
        }
    }

    fn count(&self) {
        let most = self.settings.max_in_flight;
        let under_way = most.saturating_sub(self.places.available_permits());
        self.gauge(|metrics, name| metrics.in_flight(name, under_way));
    }
}

/// Whether the backend cannot have acted on it, or acting twice changes nothing.
fn may_repeat(kind: ProxyKind, failed: &Failed) -> bool {
    let acts = matches!(kind, ProxyKind::Publish | ProxyKind::Rpc);
    match failed {
        Failed::Unsent(_) => true,
        Failed::Cut(_) => !acts,
        Failed::Status(status) => {
            const PASSING: [StatusCode; 3] = [
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ];
            !acts && PASSING.contains(status)
        }
        Failed::TooLarge => false,
    }
}

/// Counts a call when it ends, however it does.
struct Record<'a> {
    proxy: &'a Proxy,
    kind: ProxyKind,
    began: Instant,
    outcome: ProxyOutcome,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.proxy
            .metrics
            .called(self.kind, self.outcome, self.began.elapsed());
        self.proxy.count();
    }
}
