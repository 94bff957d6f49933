//! The bodies of calls. Unknown fields are ignored: clients of Centrifugo send options that mean nothing here yet.

use std::{collections::BTreeMap, sync::Arc};

use axum::body::{Body, HttpBody, to_bytes};
use bytes::Bytes;
use http::HeaderMap;
use natter_protocol::ErrorCode;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;
use tracing::{Level, info};
use uuid::Uuid;

use super::{
    auth::{self, Caller},
    keys::Scope,
    message::MessageRequest,
    refusal::Refusal,
};
use crate::{cluster::Target, gateway::Gateway, namespace::Namespace, session::StreamKey};

/// One call under way.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Gateway,
    /// Who shows a key; `None`: none is needed.
    pub(super) caller: Option<Caller>,
    /// W3C trace context of the caller.
    pub(super) traceparent: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) fn new(gateway: &'a Gateway, caller: Caller, headers: &'a HeaderMap) -> Self {
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        Self {
            gateway,
            caller: Some(caller),
            traceparent,
        }
    }

    /// Counts one call of whoever shows the key.
    pub(super) fn count(&self) -> Result<(), Refusal> {
        let caller = self.caller.as_ref();
        let within = caller.is_none_or(|caller| auth::is_within_rate(self.gateway, &caller.key));
        within.then_some(()).ok_or(ErrorCode::TooManyRequests.into())
    }

    /// Whether its key covers a call; an error when the body is not what the method takes.
    pub(super) fn may(&self, method: &str, body: &[u8]) -> serde_json::Result<bool> {
        let Some(Caller { scope, .. }) = &self.caller else {
            return Ok(true);
        };
        let covers = scope.covers(method, body)?;
        Ok(self.judged(scope, method, covers))
    }

    /// Whether its key covers a call of a method about one room.
    pub(super) fn may_in(&self, method: &str, room: &str) -> bool {
        let Some(Caller { scope, .. }) = &self.caller else {
            return true;
        };
        self.judged(scope, method, scope.covers_room(method, room))
    }

    fn judged(&self, scope: &Scope, method: &str, covers: bool) -> bool {
        if !covers {
            self.gateway.metrics.api.out_of_scope(&scope.name);
            if self.gateway.log_budget.cause("api_scope", Level::INFO).admit() {
                info!(%method, key = scope.name, "refused an API call that its key does not cover");
            }
        }
        covers
    }

    /// The policy of a room.
    pub(super) fn namespace(&self, channel: &str) -> Result<Arc<Namespace>, Refusal> {
        match self.gateway.live().namespace(channel) {
            Ok(namespace) => Ok(namespace.clone()),
            Err(ErrorCode::BadRequest) => Err(Refusal::bad(
                "room: the name is empty, too long, or has characters outside printable ASCII",
            )),
            Err(code) => Err(code.into()),
        }
    }
}

/// `None` when the body is larger than the configuration allows, or breaks off.
pub(super) async fn read_body(gateway: &Gateway, body: Body) -> Option<Bytes> {
    let limit = gateway.live().settings.http.body_max_size;
    // Said by Content-Length, before any of it is waited for.
    if body.size_hint().lower() > limit as u64 {
        return None;
    }
    to_bytes(body, limit).await.ok()
}

/// Reads a body that must be an object: serde would also take an array of its values.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::custom("it is no object"));
    }
    serde_json::from_slice(body)
}

/// The fields of a message stand in both requests: serde cannot flatten raw JSON.
#[derive(Deserialize)]
pub(super) struct PublishRequest<'a> {
    #[serde(default, deserialize_with = "or_default")]
    channel: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    tags: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    idempotency_key: String,
    #[serde(default, deserialize_with = "or_default")]
    skip_history: bool,
    #[serde(default, deserialize_with = "or_default")]
    version: u64,
}

#[derive(Deserialize)]
pub(super) struct BroadcastRequest<'a> {
    #[serde(default, deserialize_with = "or_default")]
    channels: Vec<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    tags: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    idempotency_key: String,
    #[serde(default, deserialize_with = "or_default")]
    skip_history: bool,
    #[serde(default, deserialize_with = "or_default")]
    version: u64,
}

/// `null` is the same as absent: encoders of many languages write it for what was not set.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    source: D,
) -> Result<T, D::Error> {
    Option::deserialize(source).map(Option::unwrap_or_default)
}

/// Data that is there: here a `null` is a payload like any other.
pub(super) fn present<'de, D: Deserializer<'de>>(source: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

/// An object or nothing: a derived reader would also take an array of its values.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(source: D) -> Result<Option<T>, D::Error> {
    let text: Option<&'de RawValue> = Option::deserialize(source)?;
    text.map(|text| parse(text.get().as_bytes()))
        .transpose()
        .map_err(D::Error::custom)
}

impl<'a> PublishRequest<'a> {
    pub(super) fn split(self) -> (String, MessageRequest<'a>) {
        (
            self.channel,
            MessageRequest {
                data: self.data,
                b64data: self.b64data,
                tags: self.tags,
                key: (!self.idempotency_key.is_empty()).then_some(self.idempotency_key),
                may_skip_history: self.skip_history || self.version != 0,
            },
        )
    }
}

impl<'a> BroadcastRequest<'a> {
    pub(super) fn split(self) -> (Vec<String>, MessageRequest<'a>) {
        (
            self.channels,
            MessageRequest {
                data: self.data,
                b64data: self.b64data,
                tags: self.tags,
                key: (!self.idempotency_key.is_empty()).then_some(self.idempotency_key),
                may_skip_history: self.skip_history || self.version != 0,
            },
        )
    }
}

#[derive(Deserialize)]
pub(super) struct HistoryRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channel: String,
    /// 0: the position only; negative: as many as there may be.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) limit: i64,
    #[serde(default, deserialize_with = "object")]
    pub(super) since: Option<SinceRequest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reverse: bool,
}

/// A position; an empty epoch stands for the present one.
#[derive(Deserialize)]
pub(super) struct SinceRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) offset: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) epoch: String,
}

/// Asks about one room.
#[derive(Deserialize)]
pub(super) struct PresenceRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channel: String,
}

#[derive(Deserialize)]
pub(super) struct HistoryRemoveRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channel: String,
}

/// Its target's fields stand here: serde cannot flatten beside raw JSON.
#[derive(Deserialize)]
pub(super) struct SubscribeRequest<'a> {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    client: String,
    #[serde(default, deserialize_with = "or_default")]
    session: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channel: String,
    #[serde(borrow, default)]
    pub(super) info: Option<&'a RawValue>,
    pub(super) b64info: Option<String>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) b64data: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expire_at: i64,
    #[serde(default, deserialize_with = "object")]
    pub(super) recover_since: Option<SinceRequest>,
    #[serde(default, deserialize_with = "object", rename = "override")]
    pub(super) overrides: Option<Overrides>,
}

impl SubscribeRequest<'_> {
    pub(super) fn target(&self) -> Option<Target> {
        target(&self.user, &self.client, &self.session)
    }
}

/// As above.
#[derive(Deserialize)]
pub(super) struct RefreshRequest<'a> {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    client: String,
    #[serde(default, deserialize_with = "or_default")]
    session: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expired: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) expire_at: i64,
    #[serde(borrow, default)]
    pub(super) info: Option<&'a RawValue>,
}

impl RefreshRequest<'_> {
    pub(super) fn target(&self) -> Option<Target> {
        target(&self.user, &self.client, &self.session)
    }
}

/// Options in place of the namespace's.
#[derive(Default, Deserialize)]
pub(super) struct Overrides {
    #[serde(default, deserialize_with = "object")]
    pub(super) force_recovery: Option<Override>,
    #[serde(default, deserialize_with = "object")]
    pub(super) force_positioning: Option<Override>,
}

/// The shape of Protobuf, where a plain switch cannot be absent.
#[derive(Deserialize)]
pub(super) struct Override {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) value: bool,
}

#[derive(Deserialize)]
pub(super) struct UnsubscribeRequest {
    #[serde(flatten)]
    pub(super) target: TargetRequest,
    /// Empty: all rooms.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channel: String,
}

#[derive(Deserialize)]
pub(super) struct DisconnectRequest {
    #[serde(flatten)]
    pub(super) target: TargetRequest,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) whitelist: Vec<Uuid>,
    #[serde(default, deserialize_with = "object")]
    pub(super) disconnect: Option<DisconnectReason>,
}

#[derive(Clone, Deserialize)]
pub(super) struct DisconnectReason {
    pub(super) code: u16,
    pub(super) reason: String,
}

#[derive(Deserialize)]
pub(super) struct ChannelsRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) pattern: String,
}

#[derive(Deserialize)]
pub(super) struct RpcRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) method: String,
}

#[derive(Deserialize)]
pub(super) struct TargetRequest {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    client: String,
    #[serde(default, deserialize_with = "or_default")]
    session: String,
}

impl TargetRequest {
    pub(super) fn target(&self) -> Option<Target> {
        target(&self.user, &self.client, &self.session)
    }
}

/// `None` when nobody is named: an empty user would mean every anonymous client.
fn target(user: &str, client: &str, session: &str) -> Option<Target> {
    let client = match client {
        "" => None,
        client => Some(Uuid::try_parse(client).ok()?),
    };
    let session = match session {
        "" => None,
        session => Some(StreamKey::parse(session)?),
    };
    let user = (!user.is_empty()).then(|| user.to_owned());
    (user.is_some() || client.is_some() || session.is_some()).then(|| Target::new(user, client, session))
}
