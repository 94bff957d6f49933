//! Who may open a connection here and now, whatever carries it.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{Connection, origin, plain};
use crate::{
    limits::{FileGuard, Limit, Place},
    metrics::Refusal,
};

/// What counts a connection: its descriptor and, where there is a limit, itself.
pub(super) type Counted = (FileGuard, Option<Box<Place>>);

/// `Retry-After` of those who came too fast or are too many, in seconds.
const TOO_MANY_RETRY: u64 = 1;

/// Why a well-formed request for a connection is refused.
pub(super) struct Refused {
    reason: Refusal,
    status: StatusCode,
    text: &'static str,
    /// Which limit is reached, if one is, and by whom.
    limit: Option<(Limit, IpAddr)>,
}

impl Connection {
    pub(super) fn refuse(&self, refused: &Refused) -> Response<Body> {
        let gateway = &self.worker.gateway;
        gateway.metrics.connections.refused(refused.reason);
        if let Some((limit, client)) = refused.limit {
            gateway.limiter.reached(limit, &client);
        } else if gateway
            .log_budget
            .cause(refused.reason.label(), tracing::Level::INFO)
            .admit()
        {
            tracing::info!(reason = refused.reason.label(), "refused a connection");
        }
        let mut response = plain(refused.status, refused.text);
        let retry_after = match refused.status {
            _ if refused.limit.is_some() => Some(TOO_MANY_RETRY),
            StatusCode::SERVICE_UNAVAILABLE => {
                Some(self.worker.live().settings.drain.retry_after.as_secs().max(1))
            }
            _ => None,
        };
        if let Some(seconds) = retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            // Whoever comes back comes to another gateway, and the socket is free.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Everything that may speak against a new connection; its descriptor is counted from here on.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Counted, Refused> {
        let worker = &self.worker;
        let unavailable = |reason, text| Refused {
            reason,
            status: StatusCode::SERVICE_UNAVAILABLE,
            text,
            limit: None,
        };
        if !origin::is_allowed(headers, &worker.live().settings.http.allowed_origins) {
            let text = "this origin is not allowed\n";
            return Err(Refused {
                reason: Refusal::Origin,
                status: StatusCode::FORBIDDEN,
                text,
                limit: None,
            });
        }
        if worker.gateway.drain.refuses() {
            return Err(unavailable(Refusal::Draining, "the gateway drains\n"));
        }
        if worker.live().settings.bus.critical && !worker.gateway.bus_is_up() {
            return Err(unavailable(Refusal::Bus, "the bus is down\n"));
        }
        match self.file.take() {
            Some(file) if !file.is_refused() => match self.place(headers) {
                Ok(place) => Ok((file, place)),
                Err(refused) => {
                    self.file.set(Some(file));
                    Err(refused)
                }
            },
            counted => {
                self.file.set(counted);
                Err(unavailable(Refusal::FileLimit, "the gateway is full\n"))
            }
        }
    }

    fn place(&self, headers: &HeaderMap) -> Result<Option<Box<Place>>, Refused> {
        let gateway = &self.worker.gateway;
        let open = gateway.open_sockets.load(Ordering::Relaxed);
        let client = self.client(headers);
        let live = self.worker.live();
        let placed = gateway.limiter.admit(&live.settings.client, open, Some(client));
        placed.map_err(|limit| Refused {
            reason: Refusal::Limit,
            status: if limit == Limit::AddressConnections {
                StatusCode::TOO_MANY_REQUESTS
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            text: "too many connections\n",
            limit: Some((limit, client)),
        })
    }

    /// The user that an authenticating proxy vouches for, when one is configured. What others than trusted proxies say is not
    /// heard.
    pub(super) fn user(&self, headers: &HeaderMap) -> Result<Option<Arc<str>>, Refused> {
        let live = self.worker.live();
        let Some(name) = &live.settings.client.user_id_header else {
            return Ok(None);
        };
        if !self.is_vouched_for() {
            return Ok(None);
        }
        let refused = || Refused {
            reason: Refusal::Unauthorized,
            status: StatusCode::BAD_REQUEST,
            text: "the user header is not readable\n",
            limit: None,
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
