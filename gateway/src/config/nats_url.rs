//! URLs of NATS servers. Credentials inside one never reach a log or an error.

use std::{fmt, str::FromStr};

use async_nats::ServerAddr;
use serde::{Deserialize, Serialize, Serializer};

/// A NATS server: `nats://` or `tls://`, host, optional port (4222), optional credentials (percent-encoded).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NatsUrl(ServerAddr);

impl NatsUrl {
    /// The address with its credentials, for the NATS client. Its own `Debug` shows them: do not log it.
    pub fn address(&self) -> &ServerAddr {
        &self.0
    }

    /// Whether it has credentials.
    pub fn has_login(&self) -> bool {
        self.0.username().is_some() || self.0.password().is_some()
    }

    /// Whether both have the same credentials, or none.
    pub fn logs_in_as(&self, other: &Self) -> bool {
        (self.0.username(), self.0.password()) == (other.0.username(), other.0.password())
    }
}

/// The text is no NATS URL. It is not quoted: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("not a NATS URL")]
pub struct NotNats;

impl FromStr for NatsUrl {
    type Err = NotNats;

    fn from_str(text: &str) -> Result<Self, NotNats> {
        if !text.starts_with("nats://") && !text.starts_with("tls://") {
            return Err(NotNats);
        }
        let address: ServerAddr = text.parse().map_err(|_| NotNats)?;
        let url = address.clone().into_inner();
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if address.host().is_empty() || !bare {
            Err(NotNats)
        } else {
            Ok(Self(address))
        }
    }
}

impl TryFrom<String> for NatsUrl {
    type Error = NotNats;

    fn try_from(text: String) -> Result<Self, NotNats> {
        text.parse()
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.0.scheme(), self.0.host(), self.0.port());
        let credentials = if self.has_login() { "***@" } else { "" };
        if host.contains(':') {
            write!(f, "{scheme}://{credentials}[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{credentials}{host}:{port}")
        }
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NatsUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
