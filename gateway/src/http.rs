//! The public port: HTTP up to the WebSocket upgrade, the server API and the page.
//!
//! hyper reads requests and enforces the limits on their heads; an upgraded socket is taken out of it and from then on
//! belongs to a [`Session`](crate::session::Session), without any buffer of HTTP.

mod admission;
mod cors;
mod emulation;
mod handshakes;
mod lent;
mod origin;
mod page;
mod stream;
mod upgrade;

use std::{cell::Cell, convert::Infallible, fmt::Display, net::IpAddr, rc::Rc, sync::Arc};

use axum::{Router, body::Body};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, select, sync::Notify, time::timeout};
use tower::ServiceExt;
use tracing::{Level, debug, info};

pub use self::handshakes::Handshakes;
use self::{handshakes::Handshake, lent::Lent, stream::Stream};
use crate::{
    api, gateway::Gateway, limits::FileGuard, metrics::HandshakeFailure, wire::Carrier, worker::Worker,
};

const WEBSOCKET_PATH: &str = "/connection/websocket";
/// For clients that only listen.
const ONE_WAY_WEBSOCKET_PATH: &str = "/connection/uni_websocket";
/// Where pages from elsewhere may turn to.
const CROSS_ORIGIN_PATHS: [&str; 5] = [
    stream::EVENT_STREAM_PATH,
    stream::HTTP_STREAM_PATH,
    stream::ONE_WAY_EVENT_STREAM_PATH,
    stream::ONE_WAY_HTTP_STREAM_PATH,
    emulation::PATH,
];
/// Smallest buffer that hyper works with, in bytes.
const MIN_HEAD_BUFFER: usize = 8 * 1024;

/// A connection before its upgrade.
struct Connection {
    worker: Rc<Worker>,
    router: Router,
    peer: IpAddr,
    /// Until the first request is there.
    handshake: Cell<Option<Handshake>>,
    /// Counts the socket. Moves to the session.
    file: Cell<Option<FileGuard>>,
    /// Whether any request was read.
    used: Cell<bool>,
    socket: Lent,
    /// A request that was read and becomes a session, once the socket is taken from hyper.
    stream: Cell<Option<Stream>>,
    is_taken: Notify,
}

/// Everything on the public port but the WebSocket. Made once for each worker.
pub fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .merge(api::router(gateway.clone()))
        .merge(page::router(gateway))
}

/// Serves one accepted socket until it closes or becomes a WebSocket.
pub async fn serve(worker: Rc<Worker>, router: Router, stream: TcpStream, peer: IpAddr, file: FileGuard) {
    let (header_timeout, head_buffer) = {
        let live = worker.live();
        (
            live.settings.http.header_timeout,
            live.settings.http.header_max_size.max(MIN_HEAD_BUFFER),
        )
    };
    let (handshake, gives_way) = Handshake::begin(&worker);
    let connection = Rc::new(Connection {
        worker,
        router,
        peer,
        handshake: Cell::new(Some(handshake)),
        file: Cell::new(Some(file)),
        used: Cell::new(false),
        socket: Lent::new(stream),
        stream: Cell::new(None),
        is_taken: Notify::new(),
    });
    let service = {
        let connection = connection.clone();
        service_fn(move |request| connection.clone().answer(request))
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(head_buffer)
        .serve_connection(connection.socket.clone(), service)
        .with_upgrades();
    select! {
        served = serving => {
            if let Err(error) = served {
                connection.failed(&error);
            }
        }
        () = connection.is_taken.notified() => connection.start_stream(),
        () = gives_way.notified() => {}
    }
}

impl Connection {
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.used.set(true);
        self.handshake.take();
        let path = request.uri().path();
        if path == WEBSOCKET_PATH || path == ONE_WAY_WEBSOCKET_PATH {
            return Ok(self.upgrade(request));
        }
        if request.method() == Method::OPTIONS && CROSS_ORIGIN_PATHS.contains(&path) {
            return Ok(self.preflight(request.headers()));
        }
        let limit = self.worker.live().settings.http.request_timeout;
        let mut response = timeout(limit, self.route(request))
            .await
            .unwrap_or_else(|_| plain(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"));
        if self.worker.gateway.drain.sends_elsewhere() {
            // The next request of a backend goes elsewhere instead of being cut off by the exit.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let (carrier, one_way) = match request.uri().path() {
            stream::EVENT_STREAM_PATH => (Carrier::EventStream, false),
            stream::HTTP_STREAM_PATH => (Carrier::HttpStream, false),
            stream::ONE_WAY_EVENT_STREAM_PATH => (Carrier::EventStream, true),
            stream::ONE_WAY_HTTP_STREAM_PATH => (Carrier::HttpStream, true),
            emulation::PATH => return self.emulation(request).await,
            _ => {
                let mut request = request.map(Body::new);
                let address = self.address();
                request.extensions_mut().insert(ClientAddress(address));
                let Ok(response) = self.router.clone().oneshot(request).await;
                return response;
            }
        };
        match self.stream(carrier, one_way, request).await {
            // Whoever serves the connection takes the socket now, and this with it.
            Ok(()) => std::future::pending().await,
            Err(response) => response,
        }
    }

    /// Where the client is: the other end of the socket.
    fn address(&self) -> IpAddr {
        self.peer
    }

    /// The question that a browser asks before the request of a page from elsewhere.
    fn preflight(&self, headers: &HeaderMap) -> Response<Body> {
        if origin::is_allowed(headers, &self.worker.live().settings.http.allowed_origins) {
            cors::preflight(headers)
        } else {
            plain(StatusCode::FORBIDDEN, "this origin is not allowed\n")
        }
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

/// Where a request is from, for those who answer it.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// A short text for people.
fn plain(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// `right` are the methods that there are, with commas between them.
fn wrong_method(right: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, format!("use {right}\n"));
    let allowed = HeaderValue::from_static(right);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}
