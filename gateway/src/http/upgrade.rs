//! From an HTTP request to a session: who may open a WebSocket here and now.

use std::{rc::Rc, sync::Arc};

use axum::body::Body;
use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use natter_websocket::handshake::{self, Upgrade};
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::{Connection, origin, plain};
use crate::{
    limits::FileGuard,
    listener,
    metrics::Refusal,
    session::Session,
    socket::Socket,
    wire::{Carrier, Encoding, Wire},
    worker::Worker,
};

/// The subprotocols that clients offer; JSON is also what no offer means.
const JSON_PROTOCOL: &str = "centrifuge-json";
const PROTOBUF_PROTOCOL: &str = "centrifuge-protobuf";

/// Why a well-formed upgrade is refused.
struct Refused {
    reason: Refusal,
    status: StatusCode,
    text: &'static str,
}

impl Connection {
    pub(super) fn upgrade(&self, mut request: Request<Incoming>) -> Response<Body> {
        let upgrade = match handshake::check(request.method(), request.version(), request.headers()) {
            Ok(upgrade) => upgrade,
            Err(error) => {
                self.handshake_failed(error.label(), &error);
                let mut response = plain(error.status(), format!("{error}\n"));
                response.headers_mut().extend(error.headers());
                return response;
            }
        };
        let wire = Wire {
            encoding: encoding(&request, &upgrade),
            carrier: Carrier::WebSocket,
        };
        let user = match self.user(request.headers()) {
            Ok(user) => user,
            Err(refused) => return self.refuse(&refused),
        };
        match self.admit(request.headers()) {
            Ok(file) => {
                let compression = self.compression(request.headers());
                let upgraded = hyper::upgrade::on(&mut request);
                tokio::task::spawn_local(start(
                    self.worker.clone(),
                    upgraded,
                    (user, wire, compression.is_some()),
                    file,
                ));
                switching_protocols(&upgrade, wire.encoding, compression)
            }
            Err(refused) => self.refuse(&refused),
        }
    }

    fn refuse(&self, refused: &Refused) -> Response<Body> {
        let gateway = &self.worker.gateway;
        gateway.metrics.connections.refused(refused.reason);
        if gateway
            .log_budget
            .cause(refused.reason.label(), tracing::Level::INFO)
            .admit()
        {
            tracing::info!(reason = refused.reason.label(), "refused a connection");
        }
        let mut response = plain(refused.status, refused.text);
        if refused.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = self.worker.live().settings.drain.retry_after.as_secs().max(1);
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            // Whoever comes back comes to another gateway, and the socket is free.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Everything that may speak against a new connection; its descriptor is counted from here on.
    fn admit(&self, headers: &HeaderMap) -> Result<FileGuard, Refused> {
        let worker = &self.worker;
        let unavailable = |reason, text| Refused {
            reason,
            status: StatusCode::SERVICE_UNAVAILABLE,
            text,
        };
        if !origin::is_allowed(headers, &worker.live().settings.http.allowed_origins) {
            let text = "this origin is not allowed\n";
            return Err(Refused {
                reason: Refusal::Origin,
                status: StatusCode::FORBIDDEN,
                text,
            });
        }
        if worker.gateway.drain.refuses() {
            return Err(unavailable(Refusal::Draining, "the gateway drains\n"));
        }
        if worker.live().settings.bus.critical && !worker.gateway.bus_is_up() {
            return Err(unavailable(Refusal::Bus, "the bus is down\n"));
        }
        match self.file.take() {
            Some(file) if !file.is_refused() => Ok(file),
            counted => {
                self.file.set(counted);
                Err(unavailable(Refusal::FileLimit, "the gateway is full\n"))
            }
        }
    }

    /// The answer to a client that offers to take and send compressed messages, while that is on.
    fn compression(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let enabled = self.worker.live().settings.client.compression.enabled;
        if !enabled || !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
            return None;
        }
        let answer = handshake::permessage_deflate(headers);
        self.worker.gateway.metrics.compression.offered(answer.is_some());
        answer
    }

    /// The user that an authenticating proxy vouches for, when one is configured.
    fn user(&self, headers: &HeaderMap) -> Result<Option<Arc<str>>, Refused> {
        let live = self.worker.live();
        let Some(name) = &live.settings.client.user_id_header else {
            return Ok(None);
        };
        let refused = || Refused {
            reason: Refusal::Unauthorized,
            status: StatusCode::BAD_REQUEST,
            text: "the user header is not readable\n",
        };
        // Of two, one may be the client's own, which the proxy failed to remove.
        let mut values = headers.get_all(name).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => value,
            (Some(_), Some(_)) => return Err(refused()),
        };
        let user = value.to_str().map_err(|_| refused())?.trim();
        Ok((!user.is_empty()).then(|| user.into()))
    }
}

/// What a client that offers both is answered: the subprotocol says more than the address, which may be a template's.
fn encoding(request: &Request<Incoming>, upgrade: &Upgrade) -> Encoding {
    let offers = |name: &str| upgrade.protocols.iter().any(|protocol| protocol == name);
    let asks = |pair: &str| pair == "format=protobuf" || pair == "cf_protocol=protobuf";
    let query = request.uri().query().unwrap_or_default();
    if offers(PROTOBUF_PROTOCOL) || (!offers(JSON_PROTOCOL) && query.split('&').any(asks)) {
        Encoding::Protobuf
    } else {
        Encoding::Json
    }
}

fn switching_protocols(
    upgrade: &Upgrade,
    encoding: Encoding,
    compression: Option<HeaderValue>,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, upgrade.accept.clone());
    if let Some(compression) = compression {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, compression);
    }
    let name = match encoding {
        Encoding::Json => JSON_PROTOCOL,
        Encoding::Protobuf => PROTOBUF_PROTOCOL,
    };
    if upgrade.protocols.iter().any(|protocol| protocol == name) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    response
}

/// Takes the socket out of hyper once the answer was written, and serves it.
async fn start(
    worker: Rc<Worker>,
    upgraded: hyper::upgrade::OnUpgrade,
    (user, wire, compression): (Option<Arc<str>>, Wire, bool),
    file: FileGuard,
) {
    let (stream, early) = match upgraded
        .await
        .map(hyper::upgrade::Upgraded::downcast::<TokioIo<TcpStream>>)
    {
        Ok(Ok(parts)) => (parts.io.into_inner(), BytesMut::from(parts.read_buf)),
        Ok(Err(_)) => return warn!("upgraded connection is no TCP stream"),
        Err(error) => return debug!(%error, "connection ended while it was upgraded"),
    };
    // From here on a peer that reads nothing is told why it is cut.
    listener::limit_unread(&stream, None);
    // On a task of its own, so that nothing of this one stays with the session.
    let session = Session::new(Socket::plain(stream), user, wire, compression, file);
    tokio::task::spawn_local(session.run(worker, early));
}
