//! Control calls: `POST /control/cordon`, `/uncordon`, `/drain` and `/shed`, `GET /control/state`.
//!
//! They end connections, so nobody may make them who does not know a token. Without a token file they are off, which is
//! answered with 403 and not with 404: the paths are there, and whoever calls shall learn what is missing. A token that is
//! not accepted gets 401. Refused calls are counted and logged; what is done is logged where it is done.

mod order;
mod tokens;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tracing::{Level, warn};

pub use tokens::{TokenError, Tokens};

use crate::control::{Conflict, Control};
use crate::metrics::{ControlCall, ControlMetrics, ControlResult};
use crate::telemetry::LogBudget;

/// Largest body of a call in bytes.
const MAX_BODY: usize = 4 << 10;
const SCHEME: &str = "bearer ";

/// What control calls need.
#[derive(Clone)]
pub struct ControlAccess {
    pub control: Arc<Control>,
    /// `None`: control calls are off.
    pub tokens: Option<Arc<Tokens>>,
    pub metrics: ControlMetrics,
    pub log_budget: Arc<LogBudget>,
}

/// Why a call is not followed.
enum Refused {
    Off,
    Unauthorized,
    Order(String),
    Conflict(Conflict),
}

/// The routes below `/control`.
pub(super) fn router(access: ControlAccess) -> Router {
    Router::new()
        .route("/control/state", get(state))
        .route("/control/cordon", post(cordon))
        .route("/control/uncordon", post(uncordon))
        .route("/control/drain", post(drain))
        .route("/control/shed", post(shed))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route_layer(from_fn_with_state(access.clone(), guard))
        .with_state(access)
}

/// Lets a call through that has a token, and counts every call by its result.
async fn guard(State(access): State<ControlAccess>, request: Request, next: Next) -> Response {
    let call = ControlCall::of_path(request.uri().path());
    let response = match access.admit(call, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    access
        .metrics
        .answered(call, ControlResult::of_status(response.status()));
    response
}

impl ControlAccess {
    fn admit(&self, call: ControlCall, request: &Request) -> Result<(), Refused> {
        let call = call.label();
        let Some(tokens) = &self.tokens else {
            if self.log_budget.cause("control_off", Level::WARN).admit() {
                warn!(call, "refused a control call: ops.control.token_file is not set");
            }
            return Err(Refused::Off);
        };
        if bearer(request).is_some_and(|token| tokens.admit(token)) {
            return Ok(());
        }
        if self.log_budget.cause("control_token", Level::WARN).admit() {
            warn!(call, "refused a control call without a valid token");
        }
        Err(Refused::Unauthorized)
    }

    fn done(&self, status: StatusCode) -> Response {
        (status, Json(self.control.state())).into_response()
    }
}

fn bearer(request: &Request) -> Option<&[u8]> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then_some(token)
}

async fn state(State(access): State<ControlAccess>) -> Response {
    access.done(StatusCode::OK)
}

async fn cordon(State(access): State<ControlAccess>) -> Response {
    access.control.cordon();
    access.done(StatusCode::OK)
}

async fn uncordon(State(access): State<ControlAccess>) -> Result<Response, Refused> {
    access.control.uncordon()?;
    Ok(access.done(StatusCode::OK))
}

/// 202: connections close after the answer.
async fn drain(State(access): State<ControlAccess>, body: Bytes) -> Result<Response, Refused> {
    access.control.drain(order::drain(&body)?)?;
    Ok(access.done(StatusCode::ACCEPTED))
}

/// 202: connections close after the answer.
async fn shed(State(access): State<ControlAccess>, body: Bytes) -> Result<Response, Refused> {
    access.control.shed(order::shed(&body)?)?;
    Ok(access.done(StatusCode::ACCEPTED))
}

impl From<Conflict> for Refused {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Off => {
                let text = "control calls are off: ops.control.token_file is not set";
                (StatusCode::FORBIDDEN, text.to_owned())
            }
            Self::Unauthorized => {
                let text = "control calls need a bearer token from ops.control.token_file";
                (StatusCode::UNAUTHORIZED, text.to_owned())
            }
            Self::Order(text) => (StatusCode::BAD_REQUEST, text),
            Self::Conflict(conflict) => (StatusCode::CONFLICT, conflict.to_string()),
        };
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests;
