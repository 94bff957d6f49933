//! Where a backend is asked.

use std::{fmt, str::FromStr};

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An absolute URL of HTTP or HTTPS, without credentials: those belong into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl(Uri);

#[derive(Debug, thiserror::Error)]
#[error("not the http or https URL of a backend")]
pub struct NoProxyUrl;

impl ProxyUrl {
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    pub fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromStr for ProxyUrl {
    type Err = NoProxyUrl;

    fn from_str(text: &str) -> Result<Self, NoProxyUrl> {
        let uri: Uri = text.parse().map_err(|_| NoProxyUrl)?;
        let has_host = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
        // `http::Uri` drops a fragment, which would mean that somebody expected more of it.
        let fits = matches!(uri.scheme_str(), Some("http" | "https")) && has_host && !text.contains('#');
        fits.then_some(Self(uri)).ok_or(NoProxyUrl)
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProxyUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_urls_without_credentials() {
        for text in [
            "http://backend:3000/connect",
            "https://backend.example",
            "http://[::1]:3000/?a=b",
        ] {
            assert!(text.parse::<ProxyUrl>().is_ok(), "{text}");
        }
        for text in [
            "",
            "backend:3000",
            "/connect",
            "grpc://backend:3000",
            "http://",
            "http:///connect",
            "http://joe:secret@backend/",
            "http://backend/#part",
            "http://back end/",
        ] {
            assert!(text.parse::<ProxyUrl>().is_err(), "{text}");
        }
    }
}
