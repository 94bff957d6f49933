//! Backends that gateways ask.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::reference::SecretKey;
use crate::api::text::{DurationText, SizeText};

/// A backend that is asked about what clients do, by Centrifugo's proxy protocol.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// By which the proxy is chosen, and its label in metrics.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// Where the backend is asked, by POST: an http or https URL without credentials. With https `caFile` says who is
    /// trusted.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://[^@#]+$"))]
    pub endpoint: String,
    /// Time limit of a call, retries included, at most 30s. Default: `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('30s')").message("timeout must be at most 30s"))]
    pub timeout: Option<DurationText>,
    /// Headers of the client's request for its connection that the backend is given; no others leave the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 255)))]
    pub http_headers: Vec<String>,
    /// Secret with the headers of every call, each `Name: value` on a line of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_headers: Option<SecretKey>,
    /// Secret with the certificates of the authorities that are trusted with https, in PEM: the gateway's image has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<SecretKey>,
    /// Whether data travels as base64 (`b64data`), whatever it is; otherwise as JSON, and what is none is refused with
    /// 107. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_encoding: Option<bool>,
    /// Whether the backend is given the `meta` that it answered to connect. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_connection_meta: Option<bool>,
    /// How often a call that failed is made again where that is safe, at most 5. Default: `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5))]
    pub retries: Option<u32>,
    /// Calls that one gateway has under way at once; more are refused with 111. Default: `512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: Option<u32>,
    /// Failures in a row after which the backend is left alone; 0 = never. Default: `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000))]
    pub breaker_failures: Option<u32>,
    /// How long it is left alone before one call tries it again, at most 10m; a fifth more or less. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('10m')").message("breakerPause must be at most 10m"))]
    pub breaker_pause: Option<DurationText>,
    /// Largest answer; a larger one is none, and its call is answered with 100. Default: `1MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_max_size: Option<SizeText>,
}
