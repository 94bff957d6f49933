//! Control calls, and what they brought about.

use axum::http::StatusCode;
use prometheus::{IntCounterVec, IntGauge};

use super::family::{LabeledCounter, Registrar, count};

/// A control call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlCall {
    State,
    Cordon,
    Uncordon,
    Drain,
    Shed,
}

impl ControlCall {
    const ALL: [Self; 5] = [Self::State, Self::Cordon, Self::Uncordon, Self::Drain, Self::Shed];

    /// The call that a path of the ops port stands for.
    pub fn of_path(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        let named = Self::ALL.into_iter().find(|call| call.label() == name);
        named.unwrap_or(Self::State)
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Drain => "drain",
            Self::Shed => "shed",
        }
    }
}

/// How a control call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlResult {
    Done,
    /// The request is not understood.
    Malformed,
    /// No token, or none that is accepted.
    Unauthorized,
    /// No tokens are configured.
    Off,
    /// Not now.
    Conflict,
}

impl ControlResult {
    const ALL: [Self; 5] = [
        Self::Done,
        Self::Malformed,
        Self::Unauthorized,
        Self::Off,
        Self::Conflict,
    ];

    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Off,
            StatusCode::CONFLICT => Self::Conflict,
            status if status.is_success() => Self::Done,
            _ => Self::Malformed,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::Off => "off",
            Self::Conflict => "conflict",
        }
    }
}

/// Control calls, their tokens, and the state that they changed.
#[derive(Clone, Debug)]
pub struct ControlMetrics {
    requests: IntCounterVec,
    tokens: IntGauge,
    token_reads: LabeledCounter,
    cordoned: IntGauge,
    draining: IntGauge,
}

impl ControlMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let requests = registrar.counters(
            "natter_control_requests_total",
            "Control calls on the ops port, by result",
            &["call", "result"],
        )?;
        for call in ControlCall::ALL {
            for result in ControlResult::ALL {
                requests.get_metric_with_label_values(&[call.label(), result.label()])?;
            }
        }
        Ok(Self {
            requests,
            tokens: registrar.gauge(
                "natter_control_tokens",
                "Tokens that control calls are accepted with; 0 = control calls are off",
            )?,
            token_reads: registrar.labeled(
                "natter_control_token_reads_total",
                "Changes of the token file, by result",
                &["result"],
                ["applied", "refused"],
            )?,
            cordoned: registrar.gauge(
                "natter_cordoned",
                "1 while the gateway is cordoned: the Service shall choose others",
            )?,
            draining: registrar.gauge(
                "natter_draining",
                "1 while the gateway refuses newcomers or soon will, and closes its connections",
            )?,
        })
    }

    pub fn answered(&self, call: ControlCall, result: ControlResult) {
        count(&self.requests, &[call.label(), result.label()], 1);
    }

    /// So many tokens are accepted.
    pub fn tokens(&self, number: usize) {
        self.tokens.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// The token file changed and was taken or refused.
    pub fn tokens_read(&self, applied: bool) {
        self.token_reads.inc(if applied { "applied" } else { "refused" });
    }

    /// Called on every scrape.
    pub fn set(&self, cordoned: bool, draining: bool) {
        self.cordoned.set(cordoned.into());
        self.draining.set(draining.into());
    }
}
