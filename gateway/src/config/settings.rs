//! The validated settings, section by section. Sections whose written and validated form are the same are read
//! by serde directly; the root goes through [`super::raw`]. Key by key documentation: `docs/configuration.md`.

mod api_keys;
mod bus;
mod client;
mod compression;
mod history;
mod personal;
mod proxies;
mod rate_limits;
mod revocation;
mod rooms;
mod tls;
mod tokens;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::{
    api_keys::ApiKeySettings,
    bus::{BusSettings, NatsSettings},
    client::{Anonymous, ClientSettings},
    compression::CompressionSettings,
    history::{Discard, HistoryOptions, HistoryReaders, RecoveryMode, Storage, StreamOptions},
    personal::PersonalSettings,
    proxies::ProxySettings,
    rate_limits::RateLimits,
    revocation::{LEASE_MARGIN, MAX_LEASE, RevocationSettings},
    rooms::{Degraded, DeltaKind, Namespace, PayloadKind, RoomOptions, RoomSettings, Who},
    tls::TlsSettings,
    tokens::{IssuerSettings, Signs},
};
use super::{
    secret::Secret,
    units::{duration, size},
};

/// Everything a gateway is told, valid as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where clients, the server API and the page are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz`, `/metrics` and `/control` are served.
    pub ops_listen: SocketAddr,
    /// Worker threads, 1 to 64.
    pub workers: usize,
    /// This gateway's name in logs, in `info` and at NATS.
    pub node_name: String,
    pub client: ClientSettings,
    /// Who signs the tokens of clients.
    pub tokens: Vec<IssuerSettings>,
    pub revocation: RevocationSettings,
    pub http: HttpSettings,
    pub api: ApiSettings,
    pub ops: OpsSettings,
    pub page: PageSettings,
    pub rooms: RoomSettings,
    /// Backends that rooms and clients name.
    pub proxies: Vec<ProxySettings>,
    pub bus: BusSettings,
    pub drain: DrainSettings,
    pub log: LogSettings,
    pub tracing: TracingSettings,
    pub metrics: MetricsSettings,
}

impl Settings {
    /// Whether something says who a client is.
    pub fn names_users(&self) -> bool {
        let signs = |issuer: &IssuerSettings| issuer.signs != Signs::Subscriptions;
        self.client.user_id_header.is_some()
            || self.client.connect_proxy.is_some()
            || self.tokens.iter().any(signs)
    }

    /// Whether a client may connect without a user.
    pub fn allows_anonymous(&self) -> bool {
        match self.client.anonymous {
            Anonymous::Allow => true,
            Anonymous::Deny => false,
            Anonymous::Loopback => self.listen.ip().is_loopback() && !self.names_users(),
        }
    }
}

/// HTTP up to the upgrade, and the server API's requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Origins that may open a socket: `*`, or `scheme://host[:port]` in lower case where the host may start with `*.`.
    /// Empty: the same origin only.
    pub allowed_origins: Vec<String>,
    /// Networks of the proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether these begin every connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// TLS of the port.
    pub tls: TlsSettings,
    /// From accept to the end of the TLS handshake, and from there to the end of the request head.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Sockets whose first request has not arrived yet, those of strangers that wait for another, and those whose body is read before it is known
    /// who sends it: so many of each; the oldest gives way.
    pub handshake_limit: u32,
    /// Largest request head in bytes.
    #[serde(with = "size")]
    pub header_max_size: usize,
    /// Largest request body in bytes.
    #[serde(with = "size")]
    pub body_max_size: usize,
    /// From the request head to the response of an API call.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            tls: TlsSettings::default(),
            header_timeout: Duration::from_secs(10),
            handshake_limit: 4_096,
            header_max_size: 16 << 10,
            body_max_size: 1 << 20,
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// The server API. No keys: it is off over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSettings {
    pub keys: Vec<Secret>,
    /// A file with more of them, one a line.
    pub keys_file: Option<PathBuf>,
    /// Keys that may do less than everything.
    pub scoped_keys: Vec<ApiKeySettings>,
    /// Calls a second with one key, twice as many at once; 0: no limit.
    pub rate_limit: u32,
    /// Requests a second with a wrong key, from one address, that are answered as such; 0: no limit.
    pub wrong_key_limit: u32,
    /// Whether it is served over NATS too, where NATS says who may call.
    pub nats: bool,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            keys_file: None,
            scoped_keys: Vec::new(),
            rate_limit: 0,
            wrong_key_limit: 10,
            nats: false,
        }
    }
}

/// The ops port, but for its address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsSettings {
    pub control: ControlSettings,
}

/// Control calls on the ops port. No file: they are off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// The bearer tokens that are accepted, one a line.
    pub token_file: Option<PathBuf>,
}

/// The demo page at `/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageSettings {
    pub enabled: bool,
}

impl Default for PageSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// How a gateway goes away after SIGTERM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSettings {
    /// Not ready, but still accepting: the time load balancers take to notice.
    #[serde(with = "duration")]
    pub accept: Duration,
    /// The closes are spread over this.
    #[serde(with = "duration")]
    pub duration: Duration,
    /// From SIGTERM to the exit, longer than `accept` and `duration` together.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// `Retry-After` of the refusals, whole seconds.
    #[serde(with = "duration")]
    pub retry_after: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            accept: Duration::from_secs(5),
            duration: Duration::from_secs(20),
            deadline: Duration::from_secs(30),
            retry_after: Duration::from_secs(5),
        }
    }
}

/// Logs on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Pretty,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One object a line.
    Json,
}

/// Traces by OTLP; no endpoint: off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracingSettings {
    /// As [`crate::telemetry::check_endpoint`] accepts it.
    pub otlp_endpoint: Option<String>,
    /// The authorities that are trusted with https, as PEM; `None`: the system's.
    pub otlp_ca_file: Option<PathBuf>,
    /// A certificate that is shown to the collector, as PEM.
    pub otlp_certificate_file: Option<PathBuf>,
    pub otlp_key_file: Option<PathBuf>,
    /// A file with headers of every export, one a line.
    pub otlp_headers_file: Option<PathBuf>,
    /// Share of publications that are traced, 0 to 1.
    pub sample_ratio: f64,
}

impl Default for TracingSettings {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_ca_file: None,
            otlp_certificate_file: None,
            otlp_key_file: None,
            otlp_headers_file: None,
            sample_ratio: 0.01,
        }
    }
}

/// What is measured and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// One message in this many is timed to the socket; at least 1.
    pub delivery_sample: u32,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { delivery_sample: 16 }
    }
}
