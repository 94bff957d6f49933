//! The port itself: requests that come in time, and a bounded number of connections ([`Visitors`]).

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::timeout;
use tower::ServiceExt;
use tracing::{Level, debug, info};

use super::visitors::{Visit, Visitors};
use crate::gateway::Gateway;
use crate::limits::{FileGuard, Limit};
use crate::listener::{self, MIN_HEAD_BUFFER, UNREAD_TIMEOUT};
use crate::metrics::HandshakeFailure;

/// How long open requests may take to end after the shutdown began.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What every connection is answered with.
#[derive(Clone)]
struct Port {
    gateway: Arc<Gateway>,
    router: Router,
    visitors: Visitors,
    /// Changes when the port closes; gone once nobody waits for the requests that are under way.
    closes: watch::Receiver<()>,
}

/// Answers `router` on `listener` until `shutdown` resolves, and at most a second longer for requests under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    gateway: Arc<Gateway>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (close, closes) = watch::channel(());
    let port = Port {
        gateway,
        router,
        visitors: Visitors::default(),
        closes,
    };
    tokio::select! {
        never = accept(listener, port) => match never {},
        () = shutdown => {}
    }
    // An error says that nobody is connected.
    let _ = close.send(());
    // A request that hangs is cut off with the process.
    let _ = timeout(CLOSE_TIMEOUT, close.closed()).await;
}

async fn accept(listener: TcpListener, port: Port) -> Infallible {
    let gateway = &port.gateway;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if port.visitors.give_way() {
                    port.one_gave_way();
                }
                listener::failed(gateway, &error).await;
                continue;
            }
        };
        listener::limit_unread(&stream, Some(UNREAD_TIMEOUT));
        let file = gateway.file_limit.count();
        let (visit, one_gave_way) = port.visitors.begin(gateway.file_limit.is_scarce());
        tokio::spawn(port.clone().answer_all(stream, visit, file));
        if one_gave_way {
            port.one_gave_way();
            // So that its descriptor is likely to be free when the next one comes.
            yield_now().await;
        }
    }
}

impl Port {
    fn one_gave_way(&self) {
        let whom = "the oldest connection to the ops port";
        self.gateway.limiter.reached(Limit::OpsConnections, &whom);
    }

    /// Serves one connection to its end.
    async fn answer_all(mut self, stream: TcpStream, visit: Visit, _file: FileGuard) {
        let http = self.gateway.live().settings.http.clone();
        let used = AtomicBool::new(false);
        let service = service_fn(|request| {
            used.store(true, Ordering::Relaxed);
            visit.is_answered();
            let answering = answer(self.router.clone(), request, http.request_timeout);
            let visit = &visit;
            async move {
                let response = answering.await;
                visit.waits();
                Ok::<_, Infallible>(response)
            }
        });
        let mut serving = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(http.header_timeout)
                .max_buf_size(http.header_max_size.max(MIN_HEAD_BUFFER))
                .serve_connection(TokioIo::new(stream), service)
        );
        let served = tokio::select! {
            // A request that is there is answered before its connection gives way.
            biased;
            served = &mut serving => served,
            () = visit.gives_way() => return,
            _ = self.closes.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            failed(&self.gateway, &error, used.into_inner());
        }
    }
}

async fn answer(router: Router, request: Request<Incoming>, limit: Duration) -> Response {
    match timeout(limit, router.oneshot(request.map(Body::new))).await {
        Ok(Ok(response)) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    }
}

/// Counts what came to nothing. Somebody who only looks whether the port is open is none of it.
fn failed(gateway: &Gateway, error: &hyper::Error, used: bool) {
    let failure = HandshakeFailure::of(error);
    if used || failure == HandshakeFailure::Closed {
        return debug!(%error, "connection to the ops port failed");
    }
    let kind = failure.label();
    gateway.metrics.connections.handshake_failed(kind);
    if gateway.log_budget.cause("ops_handshake", Level::INFO).admit() {
        info!(kind, cause = %error, "no request came on the ops port");
    }
}
