//! A header that every call of a proxy has, often to tell the backend who calls: its value is never shown.

use std::{fmt, str::FromStr};

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Written as `Name: value`.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticHeader {
    pub name: HeaderName,
    pub value: HeaderValue,
}

#[derive(Debug, thiserror::Error)]
#[error("not a header: Name, a colon, and a value of printable ASCII characters")]
pub struct NoHeader;

impl FromStr for StaticHeader {
    type Err = NoHeader;

    fn from_str(text: &str) -> Result<Self, NoHeader> {
        let (name, value) = text.split_once(':').ok_or(NoHeader)?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| NoHeader)?;
        if value.is_empty() || value.to_str().is_err() {
            return Err(NoHeader);
        }
        value.set_sensitive(true);
        let name = name.trim().parse().map_err(|_| NoHeader)?;
        Ok(Self { name, value })
    }
}

impl fmt::Display for StaticHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

impl fmt::Debug for StaticHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for StaticHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StaticHeader {
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
    fn the_value_is_kept_and_not_shown() {
        let header: StaticHeader = "X-Key:  secret: 1 ".parse().unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.as_bytes()),
            ("x-key", &b"secret: 1"[..])
        );
        let shown = format!("{header} {header:?} {}", serde_json::to_string(&header).unwrap());
        assert!(!shown.contains("secret") && shown.contains("x-key"), "{shown}");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "",
            "X-Key",
            "X-Key:",
            ": secret",
            "X Key: secret",
            "X-Key: a\nb",
            "X-Key: \u{e9}",
        ] {
            assert!(text.parse::<StaticHeader>().is_err(), "{text:?}");
        }
    }
}
