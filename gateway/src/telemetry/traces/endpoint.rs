//! The address of the collector.

use http::Uri;
use thiserror::Error;

const PATH: &str = "/v1/traces";

/// Why an address cannot be a collector's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    #[error("not a URL: {0}")]
    Invalid(String),
    #[error("needs the form http://host:4318 or https://host:4318")]
    NotHttp,
    #[error("must not have a user, a password or a query")]
    Extra,
}

/// Checks an address as `tracing.otlp_endpoint` accepts it: `http://host:4318` or `https://host:4318`, with or without a path.
pub fn check_endpoint(endpoint: &str) -> Result<(), EndpointError> {
    traces_url(endpoint).map(drop)
}

/// The URL that spans are posted to: the path `/v1/traces` is added to a base address (OTLP specification,
/// "Endpoint URLs for OTLP/HTTP"), unless it is there already.
pub(super) fn traces_url(endpoint: &str) -> Result<String, EndpointError> {
    let uri: Uri = endpoint
        .parse()
        .map_err(|error: http::uri::InvalidUri| EndpointError::Invalid(error.to_string()))?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| ["http", "https"].contains(scheme));
    let scheme = scheme.ok_or(EndpointError::NotHttp)?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') || uri.query().is_some() {
        return Err(EndpointError::Extra);
    }
    let base = uri.path().trim_end_matches('/').trim_end_matches(PATH);
    Ok(format!("{scheme}://{authority}{base}{PATH}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_once() {
        for (endpoint, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
            ("https://collector:4318", "https://collector:4318/v1/traces"),
            ("http://collector/otlp/", "http://collector/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(endpoint).unwrap(), url);
        }
    }

    #[test]
    fn what_cannot_be_exported_to_is_refused() {
        assert_eq!(check_endpoint("collector:4318"), Err(EndpointError::NotHttp));
        assert_eq!(check_endpoint("/v1/traces"), Err(EndpointError::NotHttp));
        assert_eq!(
            check_endpoint("grpc://collector:4317"),
            Err(EndpointError::NotHttp)
        );
        assert_eq!(
            check_endpoint("http://user:secret@collector"),
            Err(EndpointError::Extra)
        );
        assert_eq!(check_endpoint("http://collector/?a=b"), Err(EndpointError::Extra));
        assert!(matches!(
            check_endpoint("http://"),
            Err(EndpointError::Invalid(_))
        ));
        assert!(matches!(check_endpoint(""), Err(EndpointError::Invalid(_))));
    }
}
