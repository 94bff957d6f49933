//! Who signs the tokens of clients.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::{proxy_url::ProxyUrl, secret::Secret, units::duration};

/// One who signs, and its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerSettings {
    /// In logs and metrics: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    pub signs: Signs,
    /// Secrets for HS256, HS384 and HS512; any of them.
    pub hmac_secrets: Vec<Secret>,
    /// A file with more of them, one a line.
    pub hmac_secrets_file: Option<PathBuf>,
    /// Public keys of RSA, ECDSA and Ed25519, as PEM; any of them.
    pub public_keys_file: Option<PathBuf>,
    /// Where its public keys are fetched (JWK Set).
    pub jwks_url: Option<ProxyUrl>,
    /// The authorities that are trusted there with https, as PEM; `None`: the system's.
    pub jwks_ca_file: Option<PathBuf>,
    /// Between two looks for new keys.
    #[serde(with = "duration")]
    pub jwks_refresh: Duration,
    /// What `iss` must be; `None`: anything.
    pub issuer: Option<String>,
    /// What `aud` must be, or list; `None`: anything.
    pub audience: Option<String>,
    /// The claim with the user id.
    pub user_claim: String,
    /// By how much clocks may differ.
    #[serde(with = "duration")]
    pub leeway: Duration,
}

/// What it may sign tokens for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signs {
    Both,
    Connections,
    Subscriptions,
}

impl Default for IssuerSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            signs: Signs::Both,
            hmac_secrets: Vec::new(),
            hmac_secrets_file: None,
            public_keys_file: None,
            jwks_url: None,
            jwks_ca_file: None,
            jwks_refresh: Duration::from_mins(5),
            issuer: None,
            audience: None,
            user_claim: "sub".to_owned(),
            leeway: Duration::ZERO,
        }
    }
}
