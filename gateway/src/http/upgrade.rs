//! From an HTTP request to a session whose connection is a WebSocket.

use std::{net::IpAddr, rc::Rc, sync::Arc};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use natter_websocket::handshake::{self, Upgrade};
use tracing::{debug, warn};

use super::{
    Connection,
    admission::Counted,
    lent::Lent,
    plain,
    stream::{connect_parameter, is_connect_request},
};
use crate::{
    listener,
    metrics::HandshakeFailure,
    proxy::Forwarded,
    session::Session,
    wire::{Carrier, Encoding, Wire},
    worker::Worker,
};

/// The subprotocols that clients offer; JSON is also what no offer means.
const JSON_PROTOCOL: &str = "centrifuge-json";
const PROTOBUF_PROTOCOL: &str = "centrifuge-protobuf";

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
        let one_way = request.uri().path() == super::ONE_WAY_WEBSOCKET_PATH;
        let wire = Wire {
            encoding: if one_way {
                Encoding::Json
            } else {
                encoding(&request, &upgrade)
            },
            carrier: Carrier::WebSocket,
            one_way,
        };
        let query = request.uri().query().filter(|_| one_way);
        let asked = query.and_then(connect_parameter);
        if !asked.as_deref().is_none_or(is_connect_request) {
            let text = "what is asked for is unreadable";
            self.handshake_failed(HandshakeFailure::Malformed.label(), &text);
            return plain(StatusCode::BAD_REQUEST, format!("{text}\n"));
        }
        let user = match self.user(request.headers()) {
            Ok(user) => user,
            Err(refused) => return self.refuse(&refused),
        };
        match self.admit(request.headers()) {
            Ok(counted) => {
                let compression = self.compression(request.headers());
                let forwarded = self.forwarded(request.headers());
                let client = self.client(request.headers());
                let upgraded = hyper::upgrade::on(&mut request);
                tokio::task::spawn_local(start(
                    self.worker.clone(),
                    upgraded,
                    asked,
                    (user, wire, compression.is_some()),
                    (forwarded, client),
                    counted,
                ));
                switching_protocols(&upgrade, wire.encoding, compression)
            }
            Err(refused) => self.refuse(&refused),
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
    asked: Option<Bytes>,
    (user, wire, compression): (Option<Arc<str>>, Wire, bool),
    (forwarded, client): (Forwarded, IpAddr),
    counted: Counted,
) {
    let (socket, early) = match upgraded.await.map(hyper::upgrade::Upgraded::downcast::<Lent>) {
        Ok(Ok(parts)) => (parts.io.take(), BytesMut::from(parts.read_buf)),
        Ok(Err(_)) => (None, BytesMut::new()),
        Err(error) => return debug!(%error, "connection ended while it was upgraded"),
    };
    let Some(socket) = socket else {
        return warn!("the socket of an upgraded connection is gone");
    };
    // From here on a peer that reads nothing is told why it is cut; one that answers no pings is found out by the kernel.
    let unread = wire.one_way.then(|| worker.live().settings.client.ping_interval);
    listener::limit_unread(&socket, unread);
    // On a task of its own, so that nothing of this one stays with the session.
    let session = Session::new(socket, user, wire, compression, counted);
    debug!(connection = %session.id, %client, "accepted");
    session.forward(forwarded);
    match asked {
        Some(request) => tokio::task::spawn_local(session.run_asked(worker, request, early)),
        None => tokio::task::spawn_local(session.run(worker, early)),
    };
}
