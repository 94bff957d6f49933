//! Which pages may open a WebSocket: browsers send cookies and come from inside networks on behalf of any page, so
//! the `Origin` header is checked (RFC 6455 section 10.2). Clients that are no browsers send none.

use http::{HeaderMap, header};

use crate::glob;

/// Whether the page that asks is the gateway's own or fits one of the `allowed` patterns.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => return true,
        (Some(origin), None) => origin,
        // No browser sends two, so one of them is not the page's.
        (Some(_), Some(_)) => return false,
    };
    let Ok(origin) = origin.to_str() else { return false };
    let origin = origin.to_ascii_lowercase();
    is_own(&origin, headers)
        || allowed
            .iter()
            .any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), &origin))
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let own = origin.split_once("://").map(|(_, authority)| authority);
    own.is_some_and(|authority| !host.is_empty() && authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "chat.example:8000".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn pages_are_judged_by_their_origin() {
        let allowed = [
            "https://app.example".to_owned(),
            "https://*.trusted.example".to_owned(),
        ];
        for (origin, fits) in [
            (None, true),
            (Some("http://chat.example:8000"), true),
            (Some("http://chat.example"), false),
            (Some("https://app.example"), true),
            (Some("HTTPS://APP.EXAMPLE"), true),
            (Some("https://app.example.evil"), false),
            (Some("https://a.trusted.example"), true),
            (Some("null"), false),
        ] {
            assert_eq!(is_allowed(&headers(origin), &allowed), fits, "{origin:?}");
        }
        assert!(is_allowed(&headers(Some("null")), &["*".to_owned()]));
        let mut two = headers(Some("https://app.example"));
        two.append(header::ORIGIN, "https://app.example".parse().unwrap());
        assert!(!is_allowed(&two, &allowed), "which one is the page's?");
    }
}
