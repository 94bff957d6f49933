//! Connections of clients. Limits and timeouts are Centrifugo's defaults.

use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::{CompressionSettings, PersonalSettings, RateLimits};
use crate::config::units::{duration, size};

/// Who may connect and what a connection may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSettings {
    pub anonymous: Anonymous,
    /// The request header in which an authenticating proxy passes the user id. Trusted as it is: the proxy must remove
    /// it from what clients send, and must be the only way to the gateway.
    #[serde(with = "header")]
    pub user_id_header: Option<HeaderName>,
    /// Between two pings; whole seconds, because the protocol announces it in seconds.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// From a ping to the close of a silent client; shorter than `ping_interval`.
    #[serde(with = "duration")]
    pub pong_timeout: Duration,
    /// From the upgrade to the connect command.
    #[serde(with = "duration")]
    pub stale_timeout: Duration,
    /// Largest message from a client in bytes.
    #[serde(with = "size")]
    pub message_size_limit: usize,
    /// Bytes that may wait for a slow reader before it is closed with 3008.
    #[serde(with = "size")]
    pub queue_max_size: usize,
    /// Connections that one gateway has; 0: as many as there are descriptors for.
    pub connection_limit: u32,
    /// New connections a second at one gateway, twice as many at once; 0: no limit.
    pub connection_rate_limit: u32,
    /// Connections of one user; 0: no limit.
    pub user_connection_limit: u32,
    /// Connections of one address at one gateway; 0: no limit.
    pub address_connection_limit: u32,
    pub rate_limit: RateLimits,
    /// Rooms a connection may be in.
    pub channel_limit: usize,
    /// Longest channel name in bytes, 1 to 255.
    pub channel_max_length: usize,
    /// Publications that one recovery may bring.
    pub recovery_limit: usize,
    /// Largest page of a client's history command, in publications.
    pub history_limit: usize,
    /// From our close frame to the end of the socket.
    #[serde(with = "duration")]
    pub close_timeout: Duration,
    /// From the end of a connection that expires to its close, for its client to renew it.
    #[serde(with = "duration")]
    pub expired_close_delay: Duration,
    /// The same of a subscription.
    #[serde(with = "duration")]
    pub expired_sub_close_delay: Duration,
    pub subscribe_to_user_personal_channel: PersonalSettings,
    pub compression: CompressionSettings,
    /// Who is asked about new connections; `None`: nobody.
    pub connect_proxy: Option<String>,
    /// Who renews connections that expire; `None`: their clients.
    pub refresh_proxy: Option<String>,
    /// Who answers the calls of clients; `None`: nobody.
    pub rpc_proxy: Option<String>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::Loopback,
            user_id_header: None,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_timeout: Duration::from_secs(10),
            message_size_limit: 64 << 10,
            queue_max_size: 1 << 20,
            connection_limit: 0,
            connection_rate_limit: 0,
            user_connection_limit: 0,
            address_connection_limit: 0,
            rate_limit: RateLimits::default(),
            channel_limit: 128,
            channel_max_length: 255,
            recovery_limit: 300,
            history_limit: 300,
            close_timeout: Duration::from_secs(5),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            subscribe_to_user_personal_channel: PersonalSettings::default(),
            compression: CompressionSettings::default(),
            connect_proxy: None,
            refresh_proxy: None,
            rpc_proxy: None,
        }
    }
}

/// Whether clients without a user id may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Only while `listen` is a loopback address.
    Loopback,
    Allow,
    Deny,
}

mod header {
    use http::HeaderName;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(
        name: &Option<HeaderName>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_ref().map(HeaderName::as_str).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<HeaderName>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|name| name.parse().map_err(D::Error::custom))
            .transpose()
    }
}
