//! For which host a request is: said once and readable, or the request is refused (RFC 9112 section 3.2). A proxy in front may
//! have gone by another one of several.

use http::{HeaderMap, HeaderValue, Version, header, uri::Authority};

/// Whether the head of a request names its host as it has to.
pub(super) fn is_sound(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_readable(host),
        (Some(_), Some(_)) => false,
        (None, _) => version < Version::HTTP_11,
    }
}

/// Empty when what is asked for has no host.
fn is_readable(host: &HeaderValue) -> bool {
    let host = host.as_bytes();
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_said_once_and_readable() {
        for (hosts, is_good) in [
            (&["chat.example"][..], true),
            (&["chat_1.example:8000"], true),
            (&["127.0.0.1:8000"], true),
            (&["[::1]:8000"], true),
            (&[""], true),
            (&[], false),
            (&["a", "a"], false),
            (&["a", "b"], false),
            (&["a b"], false),
            (&["a/b"], false),
            (&["user@a"], false),
            (&["a, b"], false),
        ] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            assert_eq!(is_sound(Version::HTTP_11, &headers), is_good, "{hosts:?}");
        }
        assert!(is_sound(Version::HTTP_10, &HeaderMap::new()), "1.0 has none");
    }
}
