//! The ops port: `/livez`, `/readyz`, `/metrics` and control calls, for the kubelet, the operator and Prometheus.
//!
//! Liveness asks only whether the workers still turn: restarting a gateway because its bus is away would
//! disconnect every client for nothing. Readiness says in its body what it thinks of the bus and why it is
//! not ready.

mod control;
mod heartbeat;
mod port;
mod readiness;
mod visitors;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

pub use control::{ControlAccess, TokenError, Tokens};
pub use heartbeat::Heartbeats;
pub use port::serve;
pub use readiness::{NotReady, Readiness, ReadinessReport};
pub use visitors::MOST_CONNECTIONS;

use crate::drain::Drain;
use crate::limits::FileLimit;
use crate::metrics::Metrics;

/// What the ops port reports on.
#[derive(Clone)]
pub struct OpsState {
    pub readiness: Arc<Readiness>,
    pub heartbeats: Heartbeats,
    pub metrics: Metrics,
    pub files: Arc<FileLimit>,
    pub drain: Arc<Drain>,
}

/// GET and HEAD only but for control calls; other methods get 405, other paths 404.
pub fn router(state: OpsState, access: ControlAccess) -> Router {
    observing(state).merge(control::router(access))
}

fn observing(state: OpsState) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn livez(State(state): State<OpsState>) -> Response {
    let stuck = state.heartbeats.stuck();
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    let body = format!("workers that do not answer: {stuck:?}\n");
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn readyz(State(state): State<OpsState>) -> Response {
    let report = state.readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn metrics(State(state): State<OpsState>) -> Response {
    let files = &state.files;
    state
        .metrics
        .files
        .set(files.limit(), files.used(), files.connections());
    let drain = &state.drain;
    state
        .metrics
        .control
        .set(drain.is_cordoned(), drain.is_draining());
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
