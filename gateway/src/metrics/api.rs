//! Requests to the server API.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use super::family::{Registrar, count};

/// Most methods answer at once; those that ask other gateways wait up to some seconds.
const DURATION_BUCKETS: [f64; 11] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// Requests by method and outcome.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    bus_calls: IntGauge,
    keys: IntCounterVec,
    out_of_scope: IntCounterVec,
}

impl ApiMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            requests: registrar.counters(
                "natter_api_requests_total",
                "Requests to the server API, by the API's error code (0 for success) or HTTP status",
                &["method", "code"],
            )?,
            duration: registrar.histograms(
                "natter_api_request_duration_seconds",
                "Duration of requests to the server API",
                &["method"],
                &DURATION_BUCKETS,
            )?,
            bus_calls: registrar.gauge(
                "natter_api_bus_calls",
                "Calls of the server API that came over NATS and are under way, at most 256",
            )?,
            keys: registrar.counters(
                "natter_api_key_requests_total",
                "Requests to the server API with a valid key, by the name of the key's entry",
                &["api_key"],
            )?,
            out_of_scope: registrar.counters(
                "natter_api_key_refusals_total",
                "Calls of the server API that their key does not cover, by the name of the key's entry",
                &["api_key"],
            )?,
        })
    }

    /// So many calls that came over the bus are under way.
    pub fn bus_calls(&self, number: usize) {
        self.bus_calls.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Keys of an entry come into force. `name` is one of the configuration. Prometheus sees no increase in what begins with one.
    pub fn in_force(&self, name: &str) {
        count(&self.keys, &[name], 0);
        count(&self.out_of_scope, &[name], 0);
    }

    /// A request has a valid key. `name` is one of the configuration.
    pub fn admitted(&self, name: &str) {
        count(&self.keys, &[name], 1);
    }

    /// A call is not covered by its key. `name` is one of the configuration.
    pub fn out_of_scope(&self, name: &str) {
        count(&self.out_of_scope, &[name], 1);
    }

    /// `method` is a name of the API or a literal for unknown ones, `code` its error code, 0 for success, or
    /// the HTTP status when the request did not reach the method.
    pub fn answered(&self, method: &'static str, code: u32, elapsed: Duration) {
        count(&self.requests, &[method, &code.to_string()], 1);
        if let Ok(duration) = self.duration.get_metric_with_label_values(&[method]) {
            duration.observe(elapsed.as_secs_f64());
        }
    }
}
