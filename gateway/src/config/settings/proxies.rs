//! Backends that are asked about what clients do. Names and defaults are Centrifugo's where it has them.

use std::{path::PathBuf, time::Duration};

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::config::{
    proxy_url::ProxyUrl,
    static_header::StaticHeader,
    units::{duration, size},
};

/// One backend, and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxySettings {
    /// By which it is chosen, and its label in metrics: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// `None`: not written, which is refused.
    pub endpoint: Option<ProxyUrl>,
    /// From the beginning of a call to its answer, retries included.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Headers of the client's request for its connection that the backend is given; no others leave the gateway.
    #[serde(with = "names")]
    pub http_headers: Vec<HeaderName>,
    /// Headers of every call.
    pub static_headers: Vec<StaticHeader>,
    /// A file with more of them, one a line.
    pub static_headers_file: Option<PathBuf>,
    /// The authorities that are trusted with https, as PEM; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Data travels as base64, whatever it is.
    pub binary_encoding: bool,
    /// The backend is given the `meta` that the answer to connect had.
    pub include_connection_meta: bool,
    /// How often a call that failed is made again, where that is safe.
    pub retries: u32,
    /// Calls that one gateway has under way at once; more are refused (111).
    pub max_in_flight: usize,
    /// Failures in a row after which the backend is left alone for `breaker_pause`; 0: never.
    pub breaker_failures: u32,
    #[serde(with = "duration")]
    pub breaker_pause: Duration,
    /// Largest answer in bytes.
    #[serde(with = "size")]
    pub answer_max_size: usize,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            endpoint: None,
            timeout: Duration::from_secs(1),
            http_headers: Vec::new(),
            static_headers: Vec::new(),
            static_headers_file: None,
            ca_file: None,
            binary_encoding: false,
            include_connection_meta: false,
            retries: 2,
            max_in_flight: 512,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(5),
            answer_max_size: 1 << 20,
        }
    }
}

/// serde for names of headers.
mod names {
    use http::HeaderName;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(HeaderName::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<HeaderName>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let name = |text: String| text.parse().map_err(D::Error::custom);
        texts.into_iter().map(name).collect()
    }
}
