//! The server API for backends that speak NATS: the bodies and answers of `POST /api/<method>`, carried by the bus.
//!
//! Nobody shows a key: whom NATS lets publish where gateways listen may call. There is no status either, so what is one
//! over HTTP is an error here, in the same shape.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use natter_protocol::ErrorCode;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tracing::{Level, debug, info, warn};

use super::{COMMANDS, METHODS, Outcome, UNKNOWN_METHOD, answer_body, carry_out, error_body, request::Call};
use crate::{bus::BusRequest, gateway::Gateway};

/// Calls under way at once. A body may have the size of a NATS message, so they may take some 256 MiB; what comes beyond
/// is refused at once (111) and never waits.
const MAX_CALLS: usize = 256;

/// The calls that are under way.
pub struct BusCalls(Arc<Semaphore>);

impl Default for BusCalls {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CALLS)))
    }
}

impl BusCalls {
    /// Waits until the last one is answered.
    pub async fn finish(&self, limit: Duration) {
        let all = u32::try_from(MAX_CALLS).unwrap_or(u32::MAX);
        if timeout(limit, self.0.acquire_many(all)).await.is_err() {
            warn!("calls of the server API are cut off unanswered");
        }
    }
}

/// Carries out a call in the background.
pub fn take(gateway: Arc<Gateway>, request: BusRequest) {
    let place = gateway.bus_calls.0.clone().try_acquire_owned().ok();
    let runtime = gateway.runtime.clone();
    runtime.spawn(async move {
        let began = Instant::now();
        let known = match &request.method {
            None => Some(COMMANDS),
            Some(method) => METHODS.into_iter().find(|known| known == method),
        };
        count(&gateway);
        let (code, body) = match (&place, known) {
            (Some(_), Some(method)) => call(&gateway, method, &request).await,
            (None, _) => full(&gateway),
            (_, None) => failed(ErrorCode::MethodNotFound, ErrorCode::MethodNotFound.message()),
        };
        let (code, body) = if body.len() > most(&gateway) {
            failed(ErrorCode::LimitExceeded, "the answer is larger than NATS carries")
        } else {
            (code, body)
        };
        let label = known.unwrap_or(UNKNOWN_METHOD);
        gateway.metrics.api.answered(label, code, began.elapsed());
        let BusRequest {
            body: asked, answer, ..
        } = request;
        drop(asked);
        if let Err(error) = answer.give(body.into()).await {
            gateway.metrics.bus.error("api_answer");
            debug!(%error, method = label, "could not answer a call over the bus");
        }
        // Whoever waits for the last call waits for its answer.
        drop(place);
        count(&gateway);
    });
}

/// The code for the metrics, and the answer.
type Answered = (u32, Vec<u8>);

fn count(gateway: &Gateway) {
    let free = gateway.bus_calls.0.available_permits();
    gateway.metrics.api.bus_calls(MAX_CALLS.saturating_sub(free));
}

async fn call(gateway: &Gateway, method: &'static str, request: &BusRequest) -> Answered {
    let http = gateway.live().settings.http.clone();
    if request.body.len() > http.body_max_size {
        return failed(ErrorCode::LimitExceeded, "the body is too large");
    }
    let call = Call {
        gateway,
        caller: None,
        traceparent: request.traceparent.as_deref(),
    };
    let deadline = Instant::now() + http.request_timeout;
    match timeout_at(deadline, carry_out(&call, method, body(&request.body))).await {
        Ok(Outcome::Status(status, text)) => failed(code_of(status), text.trim_end()),
        Ok(outcome) => (outcome.code(), answered(outcome)),
        Err(_) => failed(ErrorCode::Internal, "the call took too long"),
    }
}

/// A call of a method without parameters needs no body.
fn body(given: &Bytes) -> &[u8] {
    if given.is_empty() { b"{}" } else { given }
}

fn answered(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Answered(answer) => answer_body(answer),
        Outcome::Replies(body) => body,
        Outcome::Status(status, text) => error_body(code_of(status), text.trim_end()),
    }
}

fn code_of(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::LimitExceeded,
        _ => ErrorCode::BadRequest,
    }
}

fn full(gateway: &Gateway) -> Answered {
    if gateway.log_budget.cause("api_calls", Level::INFO).admit() {
        info!(
            limit = MAX_CALLS,
            "refused a call over the bus: too many are under way"
        );
    }
    failed(ErrorCode::TooManyRequests, ErrorCode::TooManyRequests.message())
}

fn failed(code: ErrorCode, message: &str) -> Answered {
    (code.code(), error_body(code, message))
}

fn most(gateway: &Gateway) -> usize {
    gateway.bus().map_or(usize::MAX, |bus| bus.max_message_size())
}
