//! The public port: HTTP up to the WebSocket upgrade, the server API and the page.
//!
//! hyper reads requests and enforces the limits on their heads; an upgraded socket is taken out of it and from then on
//! belongs to a [`Session`](crate::session::Session), without any buffer of HTTP.

mod address;
mod admission;
mod body;
mod cors;
mod emulation;
mod handshakes;
mod headers;
mod host;
mod idle;
mod lent;
mod origin;
mod page;
mod proxy_protocol;
mod stream;
mod upgrade;

use std::{
    cell::Cell, convert::Infallible, error::Error as _, fmt::Display, io, net::IpAddr, rc::Rc, sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use natter_websocket::handshake::HandshakeError;
use tokio::{net::TcpStream, select, sync::Notify, time::timeout};
use tower::ServiceExt;
use tracing::{Level, debug, info};

use self::{
    address::Peer,
    handshakes::{Handshake, Part},
    idle::Idle,
    lent::Lent,
    proxy_protocol::HeaderError,
    stream::Stream,
};
pub use self::{
    address::X_FORWARDED_FOR,
    handshakes::Handshakes,
    idle::{IdleBackends, KeyShown},
};
use crate::{
    api, gateway::Gateway, limits::FileGuard, listener::MIN_HEAD_BUFFER, metrics::HandshakeFailure,
    proxy::Forwarded, socket::Socket, tls, wire::Carrier, worker::Worker,
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

/// A connection before its upgrade.
struct Connection {
    worker: Rc<Worker>,
    router: Router,
    peer: Peer,
    /// While it waits for a request.
    idle: Cell<Option<Idle>>,
    /// Whether the request that is answered showed an API key.
    key_shown: KeyShown,
    /// Notified when it has to end, as others need its place among those that nobody knows.
    gives_way: Rc<Notify>,
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
pub async fn serve(worker: Rc<Worker>, router: Router, (stream, peer): (TcpStream, IpAddr), file: FileGuard) {
    let (header_timeout, head_buffer) = {
        let live = worker.live();
        (
            live.settings.http.header_timeout,
            live.settings.http.header_max_size.max(MIN_HEAD_BUFFER),
        )
    };
    let gives_way = Rc::new(Notify::new());
    let handshake = Handshake::begin(&worker, Part::Head, &gives_way);
    let opened = select! {
        opened = opened(&worker, stream, peer, header_timeout) => opened,
        () = gives_way.notified() => None,
    };
    let Some((socket, peer)) = opened else { return };
    let connection = Rc::new(Connection {
        worker,
        router,
        peer,
        idle: Cell::new(Some(Idle::Stranger(handshake))),
        key_shown: KeyShown::default(),
        gives_way: gives_way.clone(),
        file: Cell::new(Some(file)),
        used: Cell::new(false),
        socket: Lent::new(socket),
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

/// The socket of an accepted stream and who is at its other end, once both are known.
async fn opened(worker: &Worker, stream: TcpStream, peer: IpAddr, limit: Duration) -> Option<(Socket, Peer)> {
    let (stream, peer) = introduced(worker, stream, peer, limit).await?;
    Some((secured(worker, stream, limit).await?, peer))
}

/// An accepted stream, after the header with which a trusted proxy begins where it has to.
async fn introduced(
    worker: &Worker,
    mut stream: TcpStream,
    peer: IpAddr,
    limit: Duration,
) -> Option<(TcpStream, Peer)> {
    {
        let live = worker.live();
        let http = &live.settings.http;
        if !http.proxy_protocol || !address::is_trusted(peer, &http.trusted_proxies) {
            return Some((stream, Peer::at(peer)));
        }
    }
    match timeout(limit, Box::pin(proxy_protocol::read(&mut stream))).await {
        Ok(Ok(client)) => Some((stream, client.map_or(Peer::behind(peer), Peer::at))),
        Ok(Err(HeaderError::Io(error))) => {
            handshake_failed(worker, HandshakeFailure::Closed.label(), &error);
            None
        }
        Ok(Err(error)) => {
            handshake_failed(worker, HandshakeFailure::ProxyProtocol.label(), &error);
            None
        }
        Err(error) => {
            handshake_failed(worker, HandshakeFailure::Timeout.label(), &error);
            None
        }
    }
}

/// The socket of an accepted stream, after the TLS handshake where there is one.
async fn secured(worker: &Worker, stream: TcpStream, limit: Duration) -> Option<Socket> {
    let Some(config) = worker.gateway.tls.config() else {
        return Some(Socket::plain(stream));
    };
    // In a box, as what waits for plain connections would be as large as this.
    match Box::pin(tls::accept(stream, config, limit)).await {
        Ok(socket) => Some(socket),
        Err((failure, cause)) => {
            handshake_failed(worker, failure.label(), &cause);
            None
        }
    }
}

/// Counts and logs a connection that came to nothing before a valid upgrade.
fn handshake_failed(worker: &Worker, kind: &'static str, cause: &dyn Display) {
    let gateway = &worker.gateway;
    gateway.metrics.connections.handshake_failed(kind);
    if gateway.log_budget.cause("handshake", Level::INFO).admit() {
        info!(kind, %cause, "handshake failed");
    }
}

impl Connection {
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.used.set(true);
        self.idle.take();
        let Ok(response) = self.answer_request(request).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.wait_for_request();
        }
        Ok(response)
    }

    async fn answer_request(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if !host::is_sound(request.version(), request.headers()) {
            return Ok(self.no_host());
        }
        let path = request.uri().path();
        let tls_only = self.is_tls_only(request.headers());
        let for_pages = self.for_pages(path, request.headers());
        let mut response = if path == WEBSOCKET_PATH || path == ONE_WAY_WEBSOCKET_PATH {
            let response = self.upgrade(request);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            response
        } else if request.method() == Method::OPTIONS && CROSS_ORIGIN_PATHS.contains(&path) {
            self.preflight(request.headers())
        } else {
            self.route(request).await
        };
        response.headers_mut().extend(for_pages);
        headers::complete(response.headers_mut(), tls_only);
        if self.worker.gateway.drain.sends_elsewhere() {
            // The next request of a backend goes elsewhere instead of being cut off by the exit.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    /// Whoever sends this may mean two requests where the gateway sees one, so nothing more is read.
    fn no_host(&self) -> Response<Body> {
        let error = HandshakeError::Host;
        self.handshake_failed(error.label(), &error);
        let mut response = plain(error.status(), format!("{error}\n"));
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        headers::complete(response.headers_mut(), false);
        response
    }

    /// Nothing here waits for ever: bodies and calls have time limits of their own.
    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let (carrier, one_way) = match request.uri().path() {
            stream::EVENT_STREAM_PATH => (Carrier::EventStream, false),
            stream::HTTP_STREAM_PATH => (Carrier::HttpStream, false),
            stream::ONE_WAY_EVENT_STREAM_PATH => (Carrier::EventStream, true),
            stream::ONE_WAY_HTTP_STREAM_PATH => (Carrier::HttpStream, true),
            emulation::PATH => return self.emulation(request).await,
            _ => {
                let mut request = request.map(Body::new);
                let address = self.client(request.headers());
                request.extensions_mut().insert(ClientAddress(address));
                request.extensions_mut().insert(self.key_shown.clone());
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

    /// The question that a browser asks before the request of a page from elsewhere.
    fn preflight(&self, headers: &HeaderMap) -> Response<Body> {
        if origin::is_allowed(headers, &self.worker.live().settings.http.allowed_origins) {
            cors::preflight(headers)
        } else {
            plain(StatusCode::FORBIDDEN, "this origin is not allowed\n")
        }
    }

    /// What lets a page from elsewhere see the answer, also one that refuses: otherwise it would see a broken network.
    fn for_pages(&self, path: &str, headers: &HeaderMap) -> HeaderMap {
        let allowed = &self.worker.live().settings.http.allowed_origins;
        if CROSS_ORIGIN_PATHS.contains(&path) && origin::is_allowed(headers, allowed) {
            cors::headers(headers)
        } else {
            HeaderMap::new()
        }
    }

    /// Whether browsers are to come to the name that was asked by TLS alone.
    fn is_tls_only(&self, request: &HeaderMap) -> bool {
        self.worker.gateway.tls.config().is_some() && !headers::is_local(request)
    }

    /// Where the client of a request is.
    fn client(&self, headers: &HeaderMap) -> IpAddr {
        address::of_client(
            self.peer,
            headers,
            &self.worker.live().settings.http.trusted_proxies,
        )
    }

    /// Whether headers may say for whom a request is. Without trusted proxies everybody's do.
    fn is_vouched_for(&self) -> bool {
        let live = self.worker.live();
        let trusted = &live.settings.http.trusted_proxies;
        trusted.is_empty() || self.peer.is_trusted(trusted)
    }

    /// What backends may be given of a request. With trusted proxies `X-Forwarded-For` is what the gateway makes of it.
    fn forwarded(&self, headers: &HeaderMap) -> Forwarded {
        let proxies = &self.worker.gateway.proxies;
        if self.worker.live().settings.http.trusted_proxies.is_empty() {
            return proxies.forwarded(headers);
        }
        let client = HeaderValue::from_str(&self.client(headers).to_string()).ok();
        proxies.forwarded_for(headers, client)
    }

    fn failed(&self, error: &hyper::Error) {
        if self.used.get() {
            if is_given_up(error) {
                self.handshake_failed(HandshakeFailure::Unread.label(), error);
            }
            return debug!(%error, "connection failed before an upgrade");
        }
        self.handshake_failed(HandshakeFailure::of(error).label(), error);
    }

    fn handshake_failed(&self, kind: &'static str, cause: &dyn Display) {
        handshake_failed(&self.worker, kind, cause);
    }
}

/// Whether the peer took nothing for longer than the kernel waits.
fn is_given_up(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
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
