//! One who signs tokens, and the keys that are known of it.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation, decode, errors::ErrorKind};
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::{KeysError, Purpose, TokenError, claims::Claims, files, jwks::Jwks};
use crate::{config::IssuerSettings, metrics::TokenMetrics, watched_file::WatchedFile};

/// Keys of one file or secret list, and of one key set: a token without a key id is held against all of its kind.
pub(super) const MAX_KEYS: usize = 64;

/// Whether it could be said at once.
pub(super) enum Tried<T> {
    Known(T),
    /// The key may be among these, once they are fetched anew.
    Missing(Arc<Jwks>),
}

pub(super) struct Issuer {
    pub(super) settings: IssuerSettings,
    keys: Vec<Key>,
    files: Option<WatchedFile<Vec<Key>>>,
    pub(super) jwks: Option<Arc<Jwks>>,
}

/// A key, and its id if it has one.
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The only one that it is for; `None`: any of its kind.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) key: DecodingKey,
}

impl Issuer {
    /// Reads the files; `former` is the same issuer as it was before.
    pub(super) fn new(
        settings: &IssuerSettings,
        former: Option<&Self>,
        metrics: &TokenMetrics,
    ) -> Result<Self, KeysError> {
        let keys = settings
            .hmac_secrets
            .iter()
            .map(|secret| of_secret(secret.bytes()));
        let files = files::watched(settings)?;
        let jwks = match (former.and_then(|former| former.jwks.clone()), &settings.jwks_url) {
            (Some(known), _) => Some(known),
            (None, Some(_)) => {
                Some(
                    Jwks::new(settings, metrics).map_err(|source| KeysError::Authorities {
                        name: settings.name.clone(),
                        source,
                    })?,
                )
            }
            (None, None) => None,
        };
        Ok(Self {
            settings: settings.clone(),
            keys: keys.collect(),
            files,
            jwks,
        })
    }

    /// Begins to keep the keys that have to be fetched up to date; again does nothing.
    pub(super) fn start(&self, runtime: &Handle) {
        if let Some(jwks) = &self.jwks {
            jwks.start(runtime);
        }
    }

    pub(super) fn signs(&self, purpose: Purpose) -> bool {
        self.settings.is_for(purpose)
    }

    /// Whether a token that names `iss` may be of this issuer.
    pub(super) fn is_named(&self, iss: Option<&str>) -> bool {
        self.settings.issuer.is_none() || self.settings.issuer.as_deref() == iss
    }

    /// Where a key that is not known may be found that verifies what `header` says.
    pub(super) fn may_fetch(&self, header: &Header) -> Option<&Arc<Jwks>> {
        // A secret is never fetched.
        self.jwks
            .as_ref()
            .filter(|_| header.alg.family() != AlgorithmFamily::Hmac)
    }

    pub(super) fn verify(&self, token: &str, header: &Header) -> Result<Claims, TokenError> {
        let kept = self.files.as_ref().map(WatchedFile::current);
        let kept = kept.iter().flat_map(|keys| keys.iter());
        let fetched = self.jwks.as_ref().map(|jwks| jwks.keys());
        let fetched = fetched.iter().flat_map(|keys| keys.iter());
        let fits = |key: &&Key| {
            let is_meant = key.id.is_none() || header.kid.is_none() || key.id == header.kid;
            let is_for = key.algorithm.is_none_or(|algorithm| algorithm == header.alg);
            is_meant && is_for && key.key.family() == header.alg.family()
        };
        let mut result = Err(TokenError::UnknownKey);
        for key in self.keys.iter().chain(kept).chain(fetched).filter(fits) {
            match claims(token, &key.key, header) {
                // Another key may be the one.
                Err(TokenError::Signature) => result = Err(TokenError::Signature),
                other => return other,
            }
        }
        result
    }
}

/// The times and all else that it says are judged by [`Claims`].
fn claims(token: &str, key: &DecodingKey, header: &Header) -> Result<Claims, TokenError> {
    let mut rules = Validation::new(header.alg);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    match decode::<Box<RawValue>>(token, key, &rules) {
        Ok(data) => Ok(Claims(data.claims)),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            _ => TokenError::Malformed,
        }),
    }
}

pub(super) fn of_secret(secret: &[u8]) -> Key {
    Key {
        id: None,
        algorithm: None,
        key: DecodingKey::from_secret(secret),
    }
}

/// Whether tokens may be verified with keys of this kind that were fetched: a secret is none that everybody may fetch.
pub(super) fn is_public(key: &DecodingKey) -> bool {
    key.family() != AlgorithmFamily::Hmac
}
