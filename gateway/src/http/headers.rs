//! What every answer tells browsers, whatever it is about.

use http::{HeaderMap, HeaderValue, Uri, header};

/// A year; only for the name that was asked, as others may have no TLS.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// A request for `localhost`: other programs on a developer's machine have the same name, and no TLS.
pub(super) fn is_local(request: &HeaderMap) -> bool {
    let host = request.get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.and_then(|host| host.parse::<Uri>().ok());
    name.as_ref().and_then(Uri::host) == Some("localhost")
}

/// What is in no answer by itself: types are as they are said, answers with data are kept by nobody, and what came over TLS once
/// does so from then on.
pub(super) fn complete(headers: &mut HeaderMap, tls_only: bool) {
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    secure(headers, tls_only);
}

/// The same of an answer that says by itself who keeps it.
pub(super) fn secure(headers: &mut HeaderMap, tls_only: bool) {
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    if tls_only {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
}
