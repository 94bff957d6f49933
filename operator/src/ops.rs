//! The ops port: `/livez`, `/readyz` and `/metrics`.
//!
//! An operator that waits for the lease is as ready as the one that holds it: it could take over at once.

use std::{
    future::{Future, IntoFuture},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::timeout};

use crate::metrics::Metrics;

/// How long open requests may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the port reports on.
#[derive(Clone)]
pub struct OpsState {
    pub metrics: Metrics,
    /// The API server was reached, and the operator takes part in the election.
    pub ready: Arc<AtomicBool>,
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
    if state.ready.load(Ordering::Acquire) {
        return "ok\n".into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "the API server was not reached yet\n",
    )
        .into_response()
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
