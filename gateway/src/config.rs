//! Configuration: four sources in, one validated [`Settings`] out, or every error at once.
//!
//! Built-in defaults < YAML file < `NATTER_*` environment < flags. Each variable, each flag and the file is a
//! `layer`: a tree of YAML that is checked on its own against the table of known keys (`schema`), so that an
//! error names the source it came from and a mistake in one place hides none in another. What passed is merged,
//! read by serde into the raw type and then validated as a whole (`validate`).
//!
//! serde alone would stop at the first unknown key or wrong type. A person who repairs a configuration wants
//! the whole list, so shape and types are checked before serde sees the tree; `deny_unknown_fields` stays on
//! every section as the second lock. No error text ever quotes a value that may hold a secret.
//!
//! The same table feeds the environment names, the suggestions, the reference in `docs/configuration.md` and
//! the list of keys that need a restart: a new key is one field and one row.

mod environment;
mod error;
mod flag;
mod kind;
mod layer;
mod loader;
mod nats_url;
mod proxy_url;
mod raw;
mod reference;
mod reload;
mod schema;
mod secret;
mod settings;
mod static_header;
mod units;
mod validate;
mod watch;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use loader::{Loaded, Loader};
pub use nats_url::NatsUrl;
pub use proxy_url::ProxyUrl;
pub use reference::{rewrite_reference, table};
pub use secret::Secret;
pub use settings::{
    Anonymous, ApiKeySettings, ApiSettings, BusSettings, ClientSettings, CompressionSettings,
    ControlSettings, Degraded, DeltaKind, Discard, DrainSettings, HistoryOptions, HistoryReaders,
    HttpSettings, IssuerSettings, LEASE_MARGIN, LogFormat, LogSettings, MAX_LEASE, MetricsSettings,
    Namespace, NatsSettings, OpsSettings, PageSettings, PayloadKind, PersonalSettings, ProxySettings,
    RateLimits, RecoveryMode, RevocationSettings, RoomOptions, RoomSettings, Settings, Signs, Storage,
    StreamOptions, TlsSettings, TracingSettings, Who,
};
pub use static_header::StaticHeader;
pub use units::{parse_duration, show_duration, show_size};
pub use watch::{POLL_INTERVAL, Watcher};
