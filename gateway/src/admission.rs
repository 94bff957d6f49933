//! What a connection is to be: decided once, when its client asks to connect. The session does the rest
//! (`session/connect.rs`).
//!
//! Whoever has to ask somebody else answers [`Verdict::Later`]: until then the session reads no more of its socket, and what
//! came behind the connect command waits.

use std::sync::Arc;

use bytes::Bytes;
use natter_protocol::{DisconnectCode, ErrorCode, ReplyBody};
use serde_json::value::RawValue;

use crate::{
    bus::BoxFuture,
    gateway::Live,
    grant::Grant,
    permission::Caps,
    proxy::{Connected, Foreign},
    revocation::Credential,
    session::{Ending, Refusal, Rights},
    token::WholeClaims,
};

/// What a connection that is let in is to be.
#[derive(Debug, Default)]
pub struct Admission {
    /// Who it is, unless the proxy in front vouches for somebody.
    pub user: Option<Arc<str>>,
    /// What the token said that the client brought.
    pub token: Option<Arc<Credential>>,
    /// When the connection expires unless its client renews it, as a Unix time in seconds; 0: never.
    pub expire_at: u64,
    /// What others are told of the client wherever it is, JSON text on one line; empty: nothing.
    pub info: Bytes,
    /// What the client is told with the answer, as its encoding has it; empty: nothing.
    pub data: Bytes,
    /// The rooms it is in from the beginning.
    pub rooms: Vec<Grant>,
    /// What a backend said about the connection, for later questions.
    pub meta: Option<Arc<RawValue>>,
    /// What it may do beside what namespaces permit, and by what expressions judge.
    pub rights: Option<Box<Rights>>,
    /// Whether it is also put into those rooms that it asks for with its request, as far as it might join them by itself.
    pub takes_wishes: bool,
}

/// Why a connection is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Answered as an error before the connection is closed.
    Error(Refusal),
    /// The same with an error of a backend's own.
    Foreign(Foreign),
    Disconnect(DisconnectCode),
    /// Closed as a backend says.
    Chosen {
        code: u16,
        reason: String,
    },
}

/// The decision, or when it will be there.
pub enum Verdict {
    Now(Result<Admission, Denial>),
    Later(BoxFuture<Result<Admission, Denial>>),
}

impl Denial {
    /// What the client is told first, if anything, and as what it is counted.
    pub fn answer(&self) -> Option<(u32, ReplyBody<'_>)> {
        match self {
            Self::Error(refusal) => Some((refusal.code.code(), refusal.body())),
            Self::Foreign(error) => Some((Foreign::COUNTED_AS, error.body())),
            Self::Disconnect(_) | Self::Chosen { .. } => None,
        }
    }

    /// How the connection ends.
    pub fn ending(&self) -> Ending {
        Ending::Disconnect(match self {
            Self::Chosen { code, reason } => {
                return Ending::Chosen {
                    code: *code,
                    reason: reason.clone(),
                };
            }
            Self::Disconnect(code) => *code,
            Self::Foreign(error) if error.temporary => DisconnectCode::ServerError,
            Self::Foreign(_) => DisconnectCode::PermissionDenied,
            Self::Error(refusal) => Self::ending_of(refusal.code),
        })
    }

    fn ending_of(code: ErrorCode) -> DisconnectCode {
        match code {
            ErrorCode::TokenExpired | ErrorCode::Expired => DisconnectCode::Expired,
            ErrorCode::PermissionDenied => DisconnectCode::PermissionDenied,
            ErrorCode::TooManyRequests => DisconnectCode::TooManyRequests,
            ErrorCode::LimitExceeded => DisconnectCode::ChannelLimit,
            ErrorCode::NotAvailable => DisconnectCode::NotAvailable,
            ErrorCode::BadRequest | ErrorCode::UnknownChannel => DisconnectCode::BadRequest,
            _ => DisconnectCode::ServerError,
        }
    }
}

impl Live {
    /// Judges a connect request without a token, about which no backend is asked.
    pub fn admit(&self, user: &str) -> Result<Admission, Denial> {
        if user.is_empty() && !self.settings.allows_anonymous() {
            return Err(Denial::Disconnect(DisconnectCode::InvalidToken));
        }
        Ok(Admission {
            rooms: self.personal_room(user).into_iter().collect(),
            takes_wishes: true,
            ..Admission::default()
        })
    }

    /// What a backend or a token says that a connection is to be. `vouched`: the user that the proxy in front names, who stays;
    /// empty: nobody. `claims`: of the token that says it.
    pub fn admit_as(
        &self,
        vouched: Arc<str>,
        connected: Connected,
        claims: Option<WholeClaims>,
    ) -> Admission {
        let user = if vouched.is_empty() {
            connected.user.unwrap_or_default().into()
        } else {
            vouched
        };
        let own = self.personal_room(&user);
        let listed = connected.channels.into_iter().map(Grant::of);
        let subs = connected.subs.into_iter();
        let subs = subs.map(|(channel, subscribed)| subscribed.into_grant(&channel));
        Admission {
            // What is said of a room in `subs` goes before its bare name.
            rooms: subs.chain(listed).chain(own).collect(),
            user: Some(user).filter(|user| !user.is_empty()),
            token: None,
            expire_at: connected.expire_at,
            info: connected.info.unwrap_or_default(),
            data: connected.data.unwrap_or_default(),
            meta: connected.meta,
            rights: self.rights(connected.caps, claims),
            takes_wishes: true,
        }
    }

    /// What is kept of what a token or a backend says of rights. Claims are, as long as an expression looks at them.
    pub fn rights(&self, caps: Option<Caps>, claims: Option<WholeClaims>) -> Option<Box<Rights>> {
        let rights = Rights {
            caps: caps.unwrap_or_default(),
            claims: claims.filter(|_| self.namespaces.use_claims()),
        };
        rights.is_worth_keeping().then(|| rights.into())
    }

    /// The room of a user alone, if every user is in theirs. A user whose id is no name for a room, or would name other users,
    /// has none.
    pub fn personal_room(&self, user: &str) -> Option<Grant> {
        let personal = &self.settings.client.subscribe_to_user_personal_channel;
        let is_meant = personal.enabled && !user.is_empty() && !user.contains([',', '#']);
        let channel = is_meant.then(|| personal.channel(user))?;
        self.namespace(&channel).is_ok().then(|| Grant::of(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{PersonalSettings, Settings},
        metrics::Metrics,
    };

    #[test]
    fn a_user_whose_id_names_no_room_or_others_has_none() {
        let mut settings = Settings::default();
        settings.client.subscribe_to_user_personal_channel = PersonalSettings {
            enabled: true,
            personal_channel_namespace: None,
        };
        let live = Live::new(settings, &Metrics::new().unwrap());
        let room = |user: &str| live.personal_room(user).map(|grant| grant.channel);
        assert_eq!(room("42").as_deref(), Some("#42"));
        for user in ["", "a,b", "a#b", "urn:7", "Zoë", &"x".repeat(255)] {
            assert_eq!(room(user), None, "{user}");
        }
    }
}
