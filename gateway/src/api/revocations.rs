//! Calls that end what was permitted: tokens, users, users in rooms. The first four are Centrifugo PRO's.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer,
    connections::expiry,
    json_text,
    refusal::Refusal,
    request::{Call, or_default},
};
use crate::{
    clock::unix_now,
    revocation::{MAX_ID, MAX_LIFE, Rule},
};

/// Rules on one page, unless the request says otherwise, and at most.
const PAGE: usize = 1_000;
const MAX_PAGE: i64 = 10_000;

#[derive(Deserialize)]
pub(super) struct UserRequest {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    expire_at: i64,
}

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    #[serde(default, deserialize_with = "or_default")]
    uid: String,
    #[serde(default, deserialize_with = "or_default")]
    expire_at: i64,
}

#[derive(Deserialize)]
pub(super) struct IssuedRequest {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    channel: String,
    #[serde(default, deserialize_with = "or_default")]
    issued_before: i64,
    #[serde(default, deserialize_with = "or_default")]
    expire_at: i64,
}

#[derive(Deserialize)]
pub(super) struct BanRequest {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    channel: String,
    #[serde(default, deserialize_with = "or_default")]
    expire_at: i64,
}

#[derive(Deserialize)]
pub(super) struct ListRequest {
    /// Empty: of all users, and those about tokens.
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    limit: i64,
    #[serde(default, deserialize_with = "or_default")]
    cursor: String,
}

impl Call<'_> {
    pub(super) async fn block_user(&self, request: UserRequest) -> Answer {
        let user = id("user", request.user)?;
        self.revoke(Rule::User { user }, request.expire_at).await
    }

    pub(super) async fn unblock_user(&self, request: UserRequest) -> Answer {
        let user = id("user", request.user)?;
        self.end_revocation(Rule::User { user }).await
    }

    pub(super) async fn revoke_token(&self, request: TokenRequest) -> Answer {
        let uid = id("uid", request.uid)?;
        self.revoke(Rule::Token { uid }, request.expire_at).await
    }

    pub(super) async fn invalidate_user_tokens(&self, request: IssuedRequest) -> Answer {
        let channel = match request.channel {
            channel if channel.is_empty() => None,
            channel => Some(self.room(channel)?),
        };
        // Tokens say in whole seconds when they were issued: those of this second are among the former ones.
        let issued_before = match expiry(request.issued_before)? {
            0 => unix_now() + 1,
            before => before,
        };
        let rule = Rule::IssuedBefore {
            user: id("user", request.user)?,
            channel,
            issued_before,
        };
        self.revoke(rule, request.expire_at).await
    }

    pub(super) async fn ban_user(&self, request: BanRequest) -> Answer {
        let rule = self.ban(request.user, request.channel)?;
        self.revoke(rule, request.expire_at).await
    }

    pub(super) async fn unban_user(&self, request: BanRequest) -> Answer {
        let rule = self.ban(request.user, request.channel)?;
        self.end_revocation(rule).await
    }

    /// What is in force, as this gateway knows it.
    pub(super) fn revocations(&self, request: &ListRequest) -> Answer {
        let limit = match request.limit {
            0 => PAGE,
            limit @ 1..=MAX_PAGE => usize::try_from(limit).unwrap_or(PAGE),
            _ => return Err(Refusal::bad("`limit` is not 1 to 10000")),
        };
        let user = Some(request.user.as_str()).filter(|user| !user.is_empty());
        let page = self.gateway.revocations.page(&request.cursor, limit, user);
        let mut result = json!({ "revocations": page.revocations, "total": page.total });
        if let Some(cursor) = page.cursor {
            result["cursor"] = Value::String(cursor);
        }
        Ok(json_text(&result))
    }

    fn ban(&self, user: String, channel: String) -> Result<Rule, Refusal> {
        Ok(Rule::Ban {
            user: id("user", user)?,
            channel: self.room(channel)?,
        })
    }

    /// A room that there may be.
    fn room(&self, channel: String) -> Result<String, Refusal> {
        self.namespace(&channel)?;
        Ok(channel)
    }

    async fn revoke(&self, rule: Rule, expire_at: i64) -> Answer {
        let end = end(expire_at)?;
        self.gateway.revoke(rule, end).await?;
        Ok(json_text(&json!({})))
    }

    async fn end_revocation(&self, rule: Rule) -> Answer {
        self.gateway.end_revocation(&rule).await?;
        Ok(json_text(&json!({})))
    }
}

/// An anonymous user is nobody in particular.
fn id(name: &str, id: String) -> Result<String, Refusal> {
    if id.is_empty() || id.len() > MAX_ID {
        return Err(Refusal::bad(format!(
            "`{name}` is missing or longer than {MAX_ID} bytes"
        )));
    }
    Ok(id)
}

/// When a rule ends, as a Unix time in seconds.
fn end(expire_at: i64) -> Result<u64, Refusal> {
    let now = unix_now();
    let last = now + MAX_LIFE.as_secs();
    match expiry(expire_at)? {
        0 => Ok(last),
        end if end <= now => Err(Refusal::bad("`expire_at` has passed")),
        end if end > last => Err(Refusal::bad("`expire_at` is more than 365 days ahead")),
        end => Ok(end),
    }
}
