//! The ops port: `/livez`, `/readyz` and `/metrics`.
//!
//! An operator that waits for the lease is as ready as the one that holds it: it could take over at once. One that does not reach
//! the API server, or cannot take part in the election, is not ready; it is alive all the same, as a restart would mend neither.

use std::{
    future::{Future, IntoFuture},
    io,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, time::timeout};

use crate::metrics::Metrics;

/// How long open requests may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the port reports on.
#[derive(Clone)]
pub struct OpsState {
    pub metrics: Metrics,
    pub health: Health,
}

/// Why the operator is not ready, if it is not; clones share it.
#[derive(Clone)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Default for Health {
    fn default() -> Self {
        let reason = "the API server was not reached yet".to_owned();
        Self(Arc::new(Mutex::new(Some(reason))))
    }
}

impl Health {
    /// Sets why the operator is not ready, or that it is. Whether that is news: another reason alone is not.
    pub fn set(&self, trouble: Option<String>) -> bool {
        let mut held = self.0.lock();
        let changed = held.is_some() != trouble.is_some();
        *held = trouble;
        changed
    }

    fn trouble(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// Answers until `stop` resolves, and a second longer.
pub async fn serve(
    listener: TcpListener,
    state: OpsState,
    stop: impl Future<Output = ()> + Clone + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state);
    let server = axum::serve(listener, router)
        .with_graceful_shutdown(stop.clone())
        .into_future();
    let mut server = std::pin::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = stop => {}
    }
    // A request that hangs is cut off with the process.
    timeout(CLOSE_TIMEOUT, server).await.unwrap_or(Ok(()))
}

async fn readyz(State(state): State<OpsState>) -> Response {
    match state.health.trouble() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn metrics(State(state): State<OpsState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
