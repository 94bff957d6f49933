//! The ops port: `/livez`, `/readyz` and `/metrics`.
//!
//! An operator that waits for the lease is as ready as the one that holds it: it could take over at once. One that does not reach
//! the API server, or cannot take part in the election, is not ready; it is alive all the same, as a restart would mend neither.

use std::{collections::VecDeque, convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::metrics::Metrics;

/// How long open requests may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections at once. Each has one request, so that the oldest is one that asks nothing or reads no answer: it gives way.
const MOST_CONNECTIONS: usize = 64;
/// Time for the request of a connection and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after `accept` failed, for want of descriptors most of all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
pub async fn serve(listener: TcpListener, state: OpsState, stop: impl Future<Output = ()>) {
    let router = router(state);
    let mut requests = JoinSet::new();
    tokio::select! {
        never = accept(&listener, &router, &mut requests) => match never {},
        () = stop => {}
    }
    drop(listener);
    // A request that hangs is cut off.
    let _ = timeout(CLOSE_TIMEOUT, async {
        while requests.join_next().await.is_some() {}
    })
    .await;
}

fn router(state: OpsState) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn accept(listener: &TcpListener, router: &Router, requests: &mut JoinSet<()>) -> Infallible {
    let mut open = VecDeque::<AbortHandle>::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while requests.try_join_next().is_some() {}
                open.retain(|request| !request.is_finished());
                if open.len() >= MOST_CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    debug!("too many connections to the ops port; closed the oldest");
                    oldest.abort();
                }
                open.push_back(requests.spawn(answer(stream, router.clone(), REQUEST_TIMEOUT)));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection to the ops port");
                if let Some(oldest) = open.pop_front() {
                    oldest.abort();
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router, limit: Duration) {
    let answering = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(limit, answering).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "connection to the ops port failed"),
        Err(_) => debug!("a request to the ops port took too long"),
    }
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

#[cfg(test)]
mod tests {
    use std::{future::pending, net::SocketAddr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Less than any connection may take.
    const SOON: Duration = Duration::from_secs(8);

    async fn open() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = OpsState {
            metrics: Metrics::new("0.1.0").unwrap(),
            health: Health::default(),
        };
        tokio::spawn(serve(listener, state, pending()));
        address
    }

    async fn ask(address: SocketAddr, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    /// What is sent until the connection ends; a reset is an end.
    async fn rest(mut socket: TcpStream, limit: Duration) -> String {
        let mut text = String::new();
        let _ = timeout(limit, socket.read_to_string(&mut text))
            .await
            .expect("the connection ends");
        text
    }

    #[tokio::test]
    async fn half_requests_lock_nobody_out() {
        let address = open().await;
        let mut half = VecDeque::new();
        for _ in 0..=MOST_CONNECTIONS {
            half.push_back(ask(address, "GET /livez HTTP/1.1\r\n").await);
        }
        let oldest = half.pop_front().unwrap();
        assert_eq!(rest(oldest, SOON).await, "", "it gave way");
        let probe = ask(address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = rest(probe, SOON).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    #[tokio::test]
    async fn half_a_request_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let half = ask(listener.local_addr().unwrap(), "GET /livez HTTP/1.1\r\n").await;
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream, Router::new(), Duration::from_millis(100)));
        assert_eq!(rest(half, SOON).await, "");
    }
}
