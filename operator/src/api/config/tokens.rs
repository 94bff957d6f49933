//! Who signs the tokens of clients.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::reference::SecretKey;
use crate::api::text::DurationText;

/// One who signs tokens (JWT) of clients, and its keys.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.hmacSecrets) || has(self.publicKeysFile) || has(self.jwksUrl)").message("hmacSecrets, publicKeysFile or jwksUrl must say with which keys it signs"))]
pub struct Issuer {
    /// In logs and metrics.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// What it may sign tokens for. Default: `both`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs: Option<Signs>,
    /// Secret with the secrets for HS256, HS384 and HS512, one a line; any of them may have signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_secrets: Option<SecretKey>,
    /// Secret with public keys in PEM (RSA, ECDSA with P-256 or P-384, Ed25519); any of them may have signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_keys_file: Option<SecretKey>,
    /// Where its public keys are fetched, as a JWK Set. With https `jwksCaFile` says who is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://[^@#]+$"))]
    pub jwks_url: Option<String>,
    /// Secret with the certificates of the authorities that are trusted there, in PEM: the gateway's image has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<SecretKey>,
    /// Time between two looks for new keys, 10s or more. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s')").message("jwksRefresh must be 10s or more"))]
    pub jwks_refresh: Option<DurationText>,
    /// What the claim `iss` must be. Default: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// What the claim `aud` must be, or list. Default: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,
    /// The claim with the user id. Default: `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub user_claim: Option<String>,
    /// By how much clocks may differ, at most 5m. Default: `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('5m')").message("leeway must be at most 5m"))]
    pub leeway: Option<DurationText>,
}

/// What one may sign tokens for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Signs {
    Both,
    Connections,
    Subscriptions,
}
