//! Who may call the API: everybody with one of the configured keys, given in a header or in the query; [`super::keys`] says
//! what each may do.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use http::header;
use tracing::{Level, info};

use super::keys::Scope;
use crate::{
    gateway::Gateway,
    http::{ClientAddress, KeyShown},
    limits::Limit,
};

const KEY_HEADER: &str = "x-api-key";
const SCHEME: &str = "apikey ";
const QUERY_NAME: &str = "api_key=";

/// Who shows a valid key.
pub(super) struct Caller {
    /// What the key lets it do.
    pub(super) scope: Arc<Scope>,
    /// The key itself, for its rate.
    pub(super) key: Bytes,
}

/// What becomes of a request before anything of it is looked at.
pub(super) enum Judgement {
    Admitted(Caller),
    /// It shows no valid key.
    WrongKey,
    /// As above, and there were many from where it comes.
    WrongKeys,
}

/// Whether the request may go on. Wrong keys are counted by where they come from; a good one is never held up by them.
pub(super) fn judge(gateway: &Gateway, method: &str, request: &Request) -> Judgement {
    if let Some(caller) = caller(gateway, method, request) {
        if let Some(shown) = request.extensions().get::<KeyShown>() {
            shown.set();
        }
        return Judgement::Admitted(caller);
    }
    let limit = gateway.live().settings.api.wrong_key_limit;
    match request.extensions().get() {
        Some(ClientAddress(address)) if !gateway.limiter.forgives(*address, limit) => {
            gateway.limiter.reached(Limit::WrongKeys, address);
            Judgement::WrongKeys
        }
        _ => Judgement::WrongKey,
    }
}

/// Whether the key that the request shows may be used for one more call.
pub(super) fn is_within_rate(gateway: &Gateway, key: &[u8]) -> bool {
    let rate = gateway.live().settings.api.rate_limit;
    let within = gateway.limiter.calls(key, rate);
    if !within {
        gateway
            .limiter
            .reached(Limit::ApiCalls, &"a call of the server API");
    }
    within
}

/// A request without a valid key leaves a log line.
fn caller(gateway: &Gateway, method: &str, request: &Request) -> Option<Caller> {
    let key = given(request);
    let scope = key.and_then(|key| gateway.api_keys.scope_of(key));
    match &scope {
        Some(scope) => gateway.metrics.api.admitted(&scope.name),
        None if gateway.log_budget.cause("api_key", Level::INFO).admit() => {
            info!(%method, "refused an API call without a valid key");
        }
        None => {}
    }
    Some(Caller {
        scope: scope?,
        key: Bytes::copy_from_slice(key?),
    })
}

/// The key that a request shows.
fn given(request: &Request) -> Option<&[u8]> {
    let headers = request.headers();
    if let Some(key) = headers.get(KEY_HEADER) {
        return Some(key.as_bytes());
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(SCHEME.len())?;
        return scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then_some(key);
    }
    let query = request.uri().query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(QUERY_NAME))
        .map(str::as_bytes)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(header: Option<(&str, &str)>, uri: &str) -> Request {
        let mut builder = http::Request::builder().uri(uri);
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_key_is_taken_from_three_places() {
        for (header, uri, key) in [
            (Some(("X-API-Key", "right-key")), "/api/info", Some("right-key")),
            (
                Some(("Authorization", "apikey right-key")),
                "/api/info",
                Some("right-key"),
            ),
            (
                Some(("Authorization", "ApiKey right-key")),
                "/api/info",
                Some("right-key"),
            ),
            (Some(("Authorization", "Bearer right-key")), "/api/info", None),
            (None, "/api/info?a=b&api_key=right-key", Some("right-key")),
            (
                Some(("X-API-Key", "wrong")),
                "/api/info?api_key=right-key",
                Some("wrong"),
            ),
            (None, "/api/info", None),
            (Some(("X-API-Key", "")), "/api/info", Some("")),
        ] {
            let request = request(header, uri);
            assert_eq!(given(&request), key.map(str::as_bytes), "{header:?} {uri}");
        }
    }
}
