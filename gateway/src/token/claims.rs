//! What a token says: Centrifugo's claims beside those of RFC 7519.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::TokenError;
use crate::{
    clock::since_epoch,
    config::IssuerSettings,
    proxy::{Connected, Subscribed, result},
    revocation::{Credential, MAX_ID},
};

/// The claims of a token whose signature is right, as they are written.
pub(super) struct Claims(pub(super) Box<RawValue>);

/// The same of a token that was accepted. Not shown: it may say who somebody is.
pub struct WholeClaims(pub Box<RawValue>);

/// What a connection is to be.
#[derive(Debug)]
pub struct ConnectionToken {
    pub connected: Connected,
    /// All of it, for expressions.
    pub claims: WholeClaims,
    /// Empty: it has none.
    pub id: Arc<str>,
    /// Unix time in seconds; 0: it does not say.
    pub issued_at: u64,
}

impl ConnectionToken {
    /// By which it may be revoked.
    pub fn credential(&self) -> Arc<Credential> {
        Arc::new(Credential {
            id: self.id.clone(),
            issued_at: self.issued_at,
        })
    }
}

/// What a subscription is to be.
#[derive(Debug)]
pub struct SubscriptionToken {
    pub user: String,
    pub channel: String,
    pub subscribed: Subscribed,
    pub id: Arc<str>,
    pub issued_at: u64,
}

impl SubscriptionToken {
    /// By which it may be revoked.
    pub fn credential(&self) -> Arc<Credential> {
        Arc::new(Credential {
            id: self.id.clone(),
            issued_at: self.issued_at,
        })
    }
}

/// Claims with a meaning here; `NumericDate` may have a fraction (RFC 7519 section 2).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Known {
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    aud: Option<Audience>,
    jti: Option<String>,
    sub: Option<String>,
    channel: Option<String>,
    expire_at: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Issued {
    iss: Option<String>,
}

/// Who a token says has signed it, which is not proven.
pub(super) fn issuer(token: &str) -> Result<Option<String>, TokenError> {
    let part = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
    let text = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)?;
    let issued: Issued = serde_json::from_slice(&text).map_err(|_| TokenError::Malformed)?;
    Ok(issued.iss)
}

impl fmt::Debug for WholeClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeClaims").finish_non_exhaustive()
    }
}

impl Claims {
    fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, TokenError> {
        // A derived reader would also take an array of its values.
        let is_object = self.0.get().starts_with('{');
        let parsed = is_object.then(|| serde_json::from_str(self.0.get()).ok());
        parsed.flatten().ok_or(TokenError::Malformed)
    }

    pub(super) fn connection(self, settings: &IssuerSettings) -> Result<ConnectionToken, TokenError> {
        let known = self.valid(settings)?;
        let mut connected: Connected = result(self.0.get(), false).map_err(|_| TokenError::Malformed)?;
        connected.user = Some(self.user(&known, settings)?);
        connected.data = None;
        connected.expire_at = known.end(settings)?;
        Ok(ConnectionToken {
            connected,
            id: known.id(),
            issued_at: seconds(known.iat),
            claims: WholeClaims(self.0),
        })
    }

    pub(super) fn subscription(
        self,
        settings: &IssuerSettings,
        takes_bytes: bool,
    ) -> Result<SubscriptionToken, TokenError> {
        let known = self.valid(settings)?;
        let mut subscribed: Subscribed =
            result(self.0.get(), takes_bytes).map_err(|_| TokenError::Malformed)?;
        subscribed.expire_at = known.end(settings)?;
        Ok(SubscriptionToken {
            user: self.user(&known, settings)?,
            subscribed,
            id: known.id(),
            issued_at: seconds(known.iat),
            channel: known.channel.ok_or(TokenError::Malformed)?,
        })
    }

    fn valid(&self, settings: &IssuerSettings) -> Result<Known, TokenError> {
        let known: Known = self.parse()?;
        if let Some(wanted) = &settings.audience {
            let is_meant = match &known.aud {
                Some(Audience::One(audience)) => audience == wanted,
                Some(Audience::Many(audiences)) => audiences.contains(wanted),
                None => false,
            };
            if !is_meant {
                return Err(TokenError::Audience);
            }
        }
        if known.jti.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err(TokenError::Malformed);
        }
        let (now, leeway) = (since_epoch().as_secs_f64(), settings.leeway.as_secs_f64());
        if known.exp.is_some_and(|exp| exp + leeway <= now) {
            return Err(TokenError::Expired);
        }
        if known.nbf.is_some_and(|nbf| nbf - leeway > now) {
            return Err(TokenError::Early);
        }
        Ok(known)
    }

    fn user(&self, known: &Known, settings: &IssuerSettings) -> Result<String, TokenError> {
        let user = if settings.user_claim == "sub" {
            known.sub.clone().unwrap_or_default()
        } else {
            let all: serde_json::Map<String, serde_json::Value> = self.parse()?;
            let user = all.get(&settings.user_claim).and_then(|user| user.as_str());
            user.ok_or(TokenError::Malformed)?.to_owned()
        };
        // What could not be named could not be revoked.
        (user.len() <= MAX_ID)
            .then_some(user)
            .ok_or(TokenError::Malformed)
    }
}

impl Known {
    /// When what the token is for ends, as a Unix time in seconds; 0: never. `expire_at` goes before `exp`, as in Centrifugo.
    fn end(&self, settings: &IssuerSettings) -> Result<u64, TokenError> {
        match self.expire_at {
            Some(end) => {
                let end = u64::try_from(end).map_err(|_| TokenError::Malformed)?;
                let is_over = end != 0 && end <= since_epoch().as_secs();
                (!is_over).then_some(end).ok_or(TokenError::Expired)
            }
            None => Ok(self.exp.map_or(0, |exp| {
                seconds(Some((exp + settings.leeway.as_secs_f64()).ceil()))
            })),
        }
    }

    fn id(&self) -> Arc<str> {
        self.jti.as_deref().unwrap_or_default().into()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates: beyond the range of times nothing is meant"
)]
fn seconds(date: Option<f64>) -> u64 {
    date.unwrap_or_default() as u64
}
