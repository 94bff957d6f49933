//! Who may call the API: everybody with one of the configured keys, given in a header or in the query; [`super::keys`] says
//! what each may do.

use std::sync::Arc;

use axum::extract::Request;
use http::header;
use tracing::{Level, info};

use super::keys::Scope;
use crate::gateway::Gateway;

const KEY_HEADER: &str = "x-api-key";
const SCHEME: &str = "apikey ";
const QUERY_NAME: &str = "api_key=";

/// What the request's key lets it do; one without a valid key leaves a log line.
pub(super) fn scope(gateway: &Gateway, method: &str, request: &Request) -> Option<Arc<Scope>> {
    let scope = given(request).and_then(|given| gateway.api_keys.scope_of(given));
    match &scope {
        Some(scope) => gateway.metrics.api.admitted(&scope.name),
        None if gateway.log_budget.cause("api_key", Level::INFO).admit() => {
            info!(%method, "refused an API call without a valid key");
        }
        None => {}
    }
    scope
}

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
