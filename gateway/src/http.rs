//! The public port: HTTP up to the WebSocket upgrade, the server API and the page.
//!
//! hyper reads requests and enforces the limits on their heads; an upgraded socket is taken out of it and from then on
//! belongs to a [`Session`](crate::session::Session), without any buffer of HTTP.

mod origin;
mod page;
mod upgrade;

use std::{cell::Cell, convert::Infallible, fmt::Display, rc::Rc, sync::Arc};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tower::ServiceExt;
use tracing::{Level, debug, info};

use crate::{api, gateway::Gateway, limits::FileGuard, metrics::HandshakeFailure, worker::Worker};

const WEBSOCKET_PATH: &str = "/connection/websocket";
/// Smallest buffer that hyper works with, in bytes.
const MIN_HEAD_BUFFER: usize = 8 * 1024;

/// A connection before its upgrade.
struct Connection {
    worker: Rc<Worker>,
    router: Router,
    /// Counts the socket. Moves to the session.
    file: Cell<Option<FileGuard>>,
    /// Whether any request was read.
    used: Cell<bool>,
}

/// Everything on the public port but the WebSocket. Made once for each worker.
pub fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .merge(api::router(gateway.clone()))
        .merge(page::router(gateway))
}

/// Serves one accepted socket until it closes or becomes a WebSocket.
pub async fn serve(worker: Rc<Worker>, router: Router, stream: TcpStream, file: FileGuard) {
    let (header_timeout, head_buffer) = {
        let live = worker.live();
        (
            live.settings.http.header_timeout,
            live.settings.http.header_max_size.max(MIN_HEAD_BUFFER),
        )
    };
    let connection = Rc::new(Connection {
        worker,
        router,
        file: Cell::new(Some(file)),
        used: Cell::new(false),
    });
    let service = {
        let connection = connection.clone();
        service_fn(move |request| connection.clone().answer(request))
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(head_buffer)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        connection.failed(&error);
    }
}

impl Connection {
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.used.set(true);
        if request.uri().path() == WEBSOCKET_PATH {
            return Ok(self.upgrade(request));
        }
        let limit = self.worker.live().settings.http.request_timeout;
        let answer = self.router.clone().oneshot(request.map(Body::new));
        let mut response = match timeout(limit, answer).await {
            Ok(Ok(response)) => response,
            Err(_) => plain(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"),
        };
        if self.worker.gateway.drain.sends_elsewhere() {
            // The next request of a backend goes elsewhere instead of being cut off by the exit.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    fn failed(&self, error: &hyper::Error) {
        if self.used.get() {
            return debug!(%error, "connection failed before an upgrade");
        }
        let failure = if error.is_timeout() {
            HandshakeFailure::Timeout
        } else if error.is_parse_too_large() {
            HandshakeFailure::TooLarge
        } else if error.is_parse() {
            HandshakeFailure::Malformed
        } else {
            HandshakeFailure::Closed
        };
        self.handshake_failed(failure.label(), error);
    }

    /// Counts and logs a connection that came to nothing before a valid upgrade.
    fn handshake_failed(&self, kind: &'static str, cause: &dyn Display) {
        let gateway = &self.worker.gateway;
        gateway.metrics.connections.handshake_failed(kind);
        if gateway.log_budget.cause("handshake", Level::INFO).admit() {
            info!(kind, %cause, "handshake failed");
        }
    }
}

/// A short text for people.
fn plain(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
