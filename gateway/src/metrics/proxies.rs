//! Calls to backends.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::family::{LabeledCounter, Registrar, count};

/// A backend beside the gateway answers in milliseconds; the time limit of a call is a second unless configured.
const DURATION_BUCKETS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What a backend is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    Connect,
    Subscribe,
    Publish,
    Rpc,
    /// A connection has expired.
    Refresh,
    /// A subscription has expired.
    SubRefresh,
}

impl ProxyKind {
    const ALL: [Self; 6] = [
        Self::Connect,
        Self::Subscribe,
        Self::Publish,
        Self::Rpc,
        Self::Refresh,
        Self::SubRefresh,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
            Self::Refresh => "refresh",
            Self::SubRefresh => "sub_refresh",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyOutcome {
    Result,
    /// The backend answered an error for the client.
    Error,
    /// The backend answered that the client be disconnected.
    Disconnect,
    Timeout,
    /// No connection, or one that ended.
    Unreachable,
    /// Another HTTP status than 200.
    Status,
    Malformed,
    TooLarge,
    /// Not made: the backend failed and is left alone.
    Open,
    /// Not made: too many are under way.
    Full,
    /// The client went away meanwhile.
    Abandoned,
}

impl ProxyOutcome {
    const ALL: [Self; 11] = [
        Self::Result,
        Self::Error,
        Self::Disconnect,
        Self::Timeout,
        Self::Unreachable,
        Self::Status,
        Self::Malformed,
        Self::TooLarge,
        Self::Open,
        Self::Full,
        Self::Abandoned,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Result => "answered",
            Self::Error => "error",
            Self::Disconnect => "disconnect",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Open => "open",
            Self::Full => "full",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Calls by what they ask and how they ended, and the state of each proxy.
#[derive(Clone, Debug)]
pub struct ProxyMetrics {
    calls: IntCounterVec,
    duration: HistogramVec,
    retries: LabeledCounter,
    in_flight: IntGaugeVec,
    left_alone: IntGaugeVec,
}

impl ProxyMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let calls = registrar.counters(
            "natter_proxy_calls_total",
            "Calls to backends, by what they asked and how they ended",
            &["kind", "result"],
        )?;
        let duration = registrar.histograms(
            "natter_proxy_call_duration_seconds",
            "Duration of calls to backends, retries included",
            &["kind"],
            &DURATION_BUCKETS,
        )?;
        for kind in ProxyKind::ALL {
            duration.get_metric_with_label_values(&[kind.label()])?;
            for outcome in ProxyOutcome::ALL {
                calls.get_metric_with_label_values(&[kind.label(), outcome.label()])?;
            }
        }
        Ok(Self {
            calls,
            duration,
            retries: registrar.labeled(
                "natter_proxy_retries_total",
                "Requests to backends that were made again",
                &["kind"],
                ProxyKind::ALL.map(ProxyKind::label),
            )?,
            in_flight: registrar.gauges(
                "natter_proxy_calls_in_flight",
                "Calls to a backend that are under way, at most proxies[].max_in_flight",
                &["proxy"],
            )?,
            left_alone: registrar.gauges(
                "natter_proxy_breaker_open",
                "1 while a backend is left alone because it failed, else 0",
                &["proxy"],
            )?,
        })
    }

    pub fn called(&self, kind: ProxyKind, outcome: ProxyOutcome, elapsed: Duration) {
        count(&self.calls, &[kind.label(), outcome.label()], 1);
        if let Ok(duration) = self.duration.get_metric_with_label_values(&[kind.label()]) {
            duration.observe(elapsed.as_secs_f64());
        }
    }

    pub fn retried(&self, kind: ProxyKind) {
        self.retries.inc(kind.label());
    }

    /// So many calls are under way; `proxy` is a name of the configuration.
    pub fn in_flight(&self, proxy: &str, number: usize) {
        if let Ok(gauge) = self.in_flight.get_metric_with_label_values(&[proxy]) {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    pub fn left_alone(&self, proxy: &str, is_left: bool) {
        if let Ok(gauge) = self.left_alone.get_metric_with_label_values(&[proxy]) {
            gauge.set(is_left.into());
        }
    }

    /// The proxy is no longer configured.
    pub fn forget(&self, proxy: &str) {
        // A series that is not there is as good.
        let _ = self.in_flight.remove_label_values(&[proxy]);
        let _ = self.left_alone.remove_label_values(&[proxy]);
    }
}
