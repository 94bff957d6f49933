//! The bus between gateways: embedded in this process, or NATS.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::{nats_url::NatsUrl, units::duration};

/// What both buses share, and NATS when there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusSettings {
    /// The first token of every subject: two clusters with two prefixes share one NATS without meeting.
    pub prefix: String,
    /// How long a room's bus subscription outlives its last member.
    #[serde(with = "duration")]
    pub linger: Duration,
    /// Whether a gateway without its bus is not ready and refuses new connections.
    pub critical: bool,
    /// How long a join may wait for the bus.
    #[serde(with = "duration")]
    pub join_timeout: Duration,
    /// `None`: the embedded bus.
    pub nats: Option<NatsSettings>,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            prefix: "natter".to_owned(),
            linger: Duration::from_secs(2),
            critical: false,
            join_timeout: Duration::from_secs(3),
            nats: None,
        }
    }
}

/// The connections to NATS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSettings {
    /// At least one.
    pub servers: Vec<NatsUrl>,
    /// A `.creds` file to log in with, or one with the seed of a key; `None`: what stands in the URLs.
    pub credentials_file: Option<PathBuf>,
    /// Certificates of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, with `key_file`.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Between two pings to the server: how soon a dead connection is noticed.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// Limit of every wait on the NATS client that has no limit of its own.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// From a publication to a durable room to its stream's acknowledgement. A stream that loses its leader is back
    /// after about 5 s.
    #[serde(with = "duration")]
    pub store_timeout: Duration,
    /// First joins of rooms, and looks at their heads, that NATS is asked for at once; the others wait their turn.
    pub join_concurrency: usize,
    /// Whether the gateway makes and changes streams; otherwise they are checked, and it is not ready before they are there.
    pub manage_streams: bool,
    /// The client name that NATS shows, with ` rooms` behind it for the connection of the rooms; `None`: the node name.
    pub name: Option<String>,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            credentials_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            ping_interval: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
            store_timeout: Duration::from_secs(5),
            join_concurrency: 256,
            manage_streams: true,
            name: None,
        }
    }
}
