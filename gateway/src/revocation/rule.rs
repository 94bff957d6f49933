//! One thing that is not good any more, as it is kept.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Longest user id or token id that can be named, in bytes: it becomes part of a subject of the bus.
pub const MAX_ID: usize = 1_024;
/// Longest life of a rule, and what it has when nothing is said.
pub const MAX_LIFE: Duration = Duration::from_hours(365 * 24);

/// What is not good any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// A token, by its `jti`.
    Token { uid: String },
    /// A user, whatever it brings.
    User { user: String },
    /// The tokens of a user that were issued before a Unix time in seconds, or do not say when: those of one room, or all.
    IssuedBefore {
        user: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        issued_before: u64,
    },
    /// A user in a room.
    Ban { user: String, channel: String },
}

/// A rule and its times, Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    #[serde(flatten)]
    pub rule: Rule,
    pub created_at: u64,
    /// From then on it says nothing any more.
    pub expire_at: u64,
}

/// What a token says of itself, kept by whoever came in with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    /// Empty: it has none.
    pub id: Arc<str>,
    /// Unix time in seconds; 0: it does not say.
    pub issued_at: u64,
}

/// The kinds of rules: what they are called in metrics, logs and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Token,
    User,
    IssuedBefore,
    Ban,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Token, Self::User, Self::IssuedBefore, Self::Ban];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::User => "user",
            Self::IssuedBefore => "issued_before",
            Self::Ban => "ban",
        }
    }
}

impl Rule {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Token { .. } => Kind::Token,
            Self::User { .. } => Kind::User,
            Self::IssuedBefore { .. } => Kind::IssuedBefore,
            Self::Ban { .. } => Kind::Ban,
        }
    }

    /// Whose connections are concerned; `None`: anybody's may be.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Token { .. } => None,
            Self::User { user } | Self::IssuedBefore { user, .. } | Self::Ban { user, .. } => Some(user),
        }
    }

    /// Where it is kept: a later rule of the same kind about the same takes its place.
    pub fn key(&self) -> String {
        let kind = self.kind().label();
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        match self {
            Self::Token { uid } => format!("{kind}.{}", part(uid)),
            Self::User { user }
            | Self::IssuedBefore {
                user, channel: None, ..
            } => format!("{kind}.{}", part(user)),
            Self::IssuedBefore {
                user,
                channel: Some(channel),
                ..
            }
            | Self::Ban { user, channel } => format!("{kind}.{}.{}", part(user), part(channel)),
        }
    }
}

impl Revocation {
    pub fn encode(&self) -> Bytes {
        // Plain structs with string keys always become JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub fn decode(value: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(value)
    }

    pub fn is_over(&self, now: u64) -> bool {
        self.expire_at <= now
    }

    /// What is left of its life.
    pub fn life(&self, now: u64) -> Duration {
        Duration::from_secs(self.expire_at.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Rule> {
        let (user, channel) = ("a.b *>", "room:ü");
        let issued = |channel| Rule::IssuedBefore {
            user: user.into(),
            channel,
            issued_before: 7,
        };
        vec![
            Rule::Token { uid: user.into() },
            Rule::User { user: user.into() },
            issued(None),
            issued(Some(channel.into())),
            Rule::Ban {
                user: user.into(),
                channel: channel.into(),
            },
        ]
    }

    #[test]
    fn every_rule_has_a_key_of_its_own_that_a_bucket_takes() {
        let mut keys: Vec<_> = all().iter().map(Rule::key).collect();
        for key in &keys {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_=.".contains(c);
            assert!(key.chars().all(fits) && !key.ends_with('.'), "{key}");
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all().len());
    }

    #[test]
    fn a_rule_is_read_as_it_was_written() {
        for rule in all() {
            let kind = rule.kind().label();
            let revocation = Revocation {
                rule,
                created_at: 1,
                expire_at: 2,
            };
            let text = revocation.encode();
            assert_eq!(Revocation::decode(&text).unwrap(), revocation);
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["kind"], kind);
        }
    }
}
