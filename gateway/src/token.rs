//! Tokens that say who a client is and which rooms it may join: JSON Web Tokens (RFC 7519) with Centrifugo's claims, signed by
//! one of the configured issuers.
//!
//! A token is checked where its client is served, with keys that are at hand: microseconds for a shared secret, a tenth of a
//! millisecond for the dearest key. Only a key that is not known may have to be fetched (`jwks`), and then the client waits. What
//! a token may be signed with follows from the key and never from the token alone, so a public key is no secret that somebody
//! could sign with, and `none` is no algorithm.

mod claims;
mod files;
mod issuer;
mod jwks;
mod ring;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use jsonwebtoken::{Header, decode_header};
use tokio::runtime::Handle;
use tracing::{Level, info};

use self::{
    claims::Claims,
    issuer::{Issuer, Tried},
    jwks::Fetch,
};
pub use self::{
    claims::{ConnectionToken, SubscriptionToken, WholeClaims},
    ring::install as install_crypto,
};
use crate::{
    bus::BoxFuture,
    config::{IssuerSettings, Signs},
    metrics::TokenMetrics,
    telemetry::LogBudget,
};

/// Longest token in bytes: more than a client's message usually holds, and than an issuer should say.
const MAX_SIZE: usize = 16 * 1024;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Connection,
    Subscription,
}

impl Purpose {
    pub const ALL: [Self; 2] = [Self::Connection, Self::Subscription];

    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Subscription => "subscription",
        }
    }
}

/// Why a token is not accepted. The texts are for logs: clients are told the protocol's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no token")]
    Malformed,
    #[error("nobody who signs such tokens has this `iss`")]
    Issuer,
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is for another `aud`")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    /// Keys have to be fetched and cannot be: the same token may be accepted later.
    #[error("the keys of its issuer are out of reach")]
    Unreachable,
}

impl TokenError {
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Issuer,
        Self::UnknownKey,
        Self::Signature,
        Self::Audience,
        Self::Expired,
        Self::Early,
        Self::Unreachable,
    ];

    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Issuer => "issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The keys of an issuer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("tokens {name:?}: cannot read {}: {source}", path.display())]
    Read {
        name: String,
        path: PathBuf,
        source: io::Error,
    },
    /// The file may be secret.
    #[error("tokens {name:?}: {} holds {problem}", path.display())]
    Content {
        name: String,
        path: PathBuf,
        problem: &'static str,
    },
    #[error("tokens {name:?}: {source}")]
    Authorities { name: String, source: io::Error },
}

/// Whether a token is accepted, now or once its key is there.
pub enum Checked<T> {
    Now(Result<T, TokenError>),
    Later(BoxFuture<Result<T, TokenError>>),
}

/// All who sign tokens.
pub struct Tokens {
    issuers: ArcSwap<Vec<Arc<Issuer>>>,
    metrics: TokenMetrics,
    log_budget: Arc<LogBudget>,
    runtime: Handle,
}

/// The issuers of new settings, ready to be taken.
pub struct Prepared(Vec<Arc<Issuer>>);

impl Tokens {
    pub fn new(metrics: TokenMetrics, log_budget: Arc<LogBudget>, runtime: Handle) -> Self {
        install_crypto();
        Self {
            issuers: ArcSwap::default(),
            metrics,
            log_budget,
            runtime,
        }
    }

    /// The issuers of new settings, all or none, with their files read anew. One that fetches its keys from where it did keeps
    /// those that it has.
    pub fn prepare(&self, settings: &[IssuerSettings]) -> Result<Prepared, KeysError> {
        let known = self.issuers.load();
        let issuers = settings.iter().map(|settings| {
            let former = known.iter().find(|known| known.settings.fetches_as(settings));
            Issuer::new(settings, former.map(|former| &**former), &self.metrics).map(Arc::new)
        });
        issuers.collect::<Result<_, _>>().map(Prepared)
    }

    /// Takes them in place of those that are there.
    pub fn apply(&self, Prepared(issuers): Prepared) {
        for issuer in &issuers {
            issuer.start(&self.runtime);
        }
        self.issuers.store(Arc::new(issuers));
    }

    /// Whether anybody signs such tokens.
    pub fn are_taken(&self, purpose: Purpose) -> bool {
        self.issuers.load().iter().any(|issuer| issuer.signs(purpose))
    }

    /// Checks a token of a connection.
    pub fn connection(self: &Arc<Self>, token: &str) -> Checked<ConnectionToken> {
        self.check(Purpose::Connection, token, |claims, settings| {
            claims.connection(settings)
        })
    }

    /// Checks a token of a subscription.
    pub fn subscription(self: &Arc<Self>, token: &str, takes_bytes: bool) -> Checked<SubscriptionToken> {
        self.check(Purpose::Subscription, token, move |claims, settings| {
            claims.subscription(settings, takes_bytes)
        })
    }

    fn check<T: Send + 'static>(
        self: &Arc<Self>,
        purpose: Purpose,
        token: &str,
        read: impl Fn(Claims, &IssuerSettings) -> Result<T, TokenError> + Send + 'static,
    ) -> Checked<T> {
        let waits_for = match self.try_now(purpose, token, &read) {
            Ok(Tried::Known(result)) => return Checked::Now(self.counted(purpose, result)),
            Ok(Tried::Missing(jwks)) => jwks,
            Err(error) => return Checked::Now(self.counted(purpose, Err(error))),
        };
        let (tokens, token) = (self.clone(), token.to_owned());
        Checked::Later(Box::pin(async move {
            let result = match waits_for.fetch().await {
                Fetch::Failed => Err(TokenError::Unreachable),
                Fetch::Done => match tokens.try_now(purpose, &token, &read) {
                    Ok(Tried::Known(result)) => result,
                    Ok(Tried::Missing(_)) => Err(TokenError::UnknownKey),
                    Err(error) => Err(error),
                },
            };
            tokens.counted(purpose, result)
        }))
    }

    fn try_now<T>(
        &self,
        purpose: Purpose,
        token: &str,
        read: impl Fn(Claims, &IssuerSettings) -> Result<T, TokenError>,
    ) -> Result<Tried<Result<T, TokenError>>, TokenError> {
        if token.len() > MAX_SIZE {
            return Err(TokenError::Malformed);
        }
        let header: Header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        // What must be understood and is not (RFC 7515 section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let iss = claims::issuer(token)?;
        let issuers = self.issuers.load();
        let fits = |issuer: &&Arc<Issuer>| issuer.signs(purpose) && issuer.is_named(iss.as_deref());
        let mut found = Err(TokenError::Issuer);
        let mut missing = None;
        for issuer in issuers.iter().filter(fits) {
            match issuer.verify(token, &header) {
                Ok(claims) => return Ok(Tried::Known(read(claims, &issuer.settings))),
                // Another issuer may know the key.
                Err(TokenError::UnknownKey) => {
                    missing = missing.or_else(|| issuer.may_fetch(&header).cloned());
                    found = found.map_err(|known| match known {
                        TokenError::Signature => known,
                        _ => TokenError::UnknownKey,
                    });
                }
                Err(error) => found = Err(error),
            }
        }
        match missing {
            Some(jwks) => Ok(Tried::Missing(jwks)),
            None => found,
        }
    }

    fn counted<T>(&self, purpose: Purpose, result: Result<T, TokenError>) -> Result<T, TokenError> {
        self.metrics.checked(purpose, result.as_ref().err().copied());
        if let Err(error) = &result
            && *error != TokenError::Expired
            && self.log_budget.cause("token", Level::INFO).admit()
        {
            info!(token = purpose.label(), %error, "refused a token");
        }
        result
    }
}

impl IssuerSettings {
    /// Whether the keys that one has fetched are the other's.
    fn fetches_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.jwks_url == other.jwks_url
            && self.jwks_ca_file == other.jwks_ca_file
            && self.jwks_refresh == other.jwks_refresh
    }

    fn is_for(&self, purpose: Purpose) -> bool {
        match self.signs {
            Signs::Both => true,
            Signs::Connections => purpose == Purpose::Connection,
            Signs::Subscriptions => purpose == Purpose::Subscription,
        }
    }
}
