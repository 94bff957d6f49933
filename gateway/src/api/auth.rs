//! Who may call the API: everybody with one of the configured keys, given in a header or in the query.

use axum::extract::Request;
use http::header;
use tracing::{Level, info};

use crate::{config::Secret, gateway::Gateway, http::ClientAddress, limits::Limit};

const KEY_HEADER: &str = "x-api-key";
const SCHEME: &str = "apikey ";
const QUERY_NAME: &str = "api_key=";

/// What becomes of a request before anything of it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Admitted,
    /// It shows no valid key.
    WrongKey,
    /// As above, and there were many from where it comes.
    WrongKeys,
}

/// Whether the request may go on. Wrong keys are counted by where they come from; a good one is never held up by them.
pub(super) fn judge(gateway: &Gateway, method: &str, request: &Request) -> Judgement {
    if admits(gateway, method, request) {
        return Judgement::Admitted;
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

/// One that may not leaves a log line.
fn admits(gateway: &Gateway, method: &str, request: &Request) -> bool {
    let authorized = is_authorized(&gateway.live().settings.api.keys, request);
    if !authorized && gateway.log_budget.cause("api_key", Level::INFO).admit() {
        info!(%method, "refused an API call without a valid key");
    }
    authorized
}

/// Without configured keys nobody may. Every key is compared in constant time.
fn is_authorized(keys: &[Secret], request: &Request) -> bool {
    given(request).is_some_and(|given| keys.iter().fold(false, |any, key| any | key.matches(given)))
}

/// The key that a request shows.
pub(super) fn given(request: &Request) -> Option<&[u8]> {
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
        let keys = [
            Secret::from("other".to_owned()),
            Secret::from("right-key".to_owned()),
        ];
        for (header, uri, fits) in [
            (Some(("X-API-Key", "right-key")), "/api/info", true),
            (Some(("Authorization", "apikey right-key")), "/api/info", true),
            (Some(("Authorization", "ApiKey right-key")), "/api/info", true),
            (Some(("Authorization", "Bearer right-key")), "/api/info", false),
            (None, "/api/info?a=b&api_key=right-key", true),
            (Some(("X-API-Key", "wrong")), "/api/info?api_key=right-key", false),
            (None, "/api/info", false),
            (Some(("X-API-Key", "")), "/api/info", false),
        ] {
            assert_eq!(
                is_authorized(&keys, &request(header, uri)),
                fits,
                "{header:?} {uri}"
            );
        }
        assert!(!is_authorized(&[], &request(Some(("X-API-Key", "")), "/")));
    }
}
