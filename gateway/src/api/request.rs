//! The bodies of calls. Unknown fields are ignored: clients of Centrifugo send options that mean nothing here yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{cluster::Target, gateway::Gateway};

/// One call under way.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Gateway,
    /// W3C trace context of the caller.
    pub(super) traceparent: Option<&'a str>,
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
}

/// `null` is the same as absent: encoders of many languages write it for what was not set.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(source: D) -> Result<T, D::Error> {
    Option::deserialize(source).map(Option::unwrap_or_default)
}

/// Data that is there: here a `null` is a payload like any other.
fn present<'de, D: Deserializer<'de>>(source: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

/// What is published.
pub(super) struct MessageRequest<'a> {
    pub(super) data: Option<&'a RawValue>,
    /// Base64 of `data`, in its place.
    pub(super) b64data: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
}

impl<'a> PublishRequest<'a> {
    pub(super) fn split(self) -> (String, MessageRequest<'a>) {
        (
            self.channel,
            MessageRequest {
                data: self.data,
                b64data: self.b64data,
                tags: self.tags,
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
            },
        )
    }
}

#[derive(Deserialize)]
pub(super) struct SubscribeRequest {
    #[serde(flatten)]
    pub(super) target: TargetRequest,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channel: String,
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
pub(super) struct TargetRequest {
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    client: String,
}

impl TargetRequest {
    /// `None` when neither a user nor a client is named: an empty user would mean every anonymous client.
    pub(super) fn target(&self) -> Option<Target> {
        let client = match self.client.as_str() {
            "" => None,
            client => Some(Uuid::try_parse(client).ok()?),
        };
        let user = (!self.user.is_empty()).then(|| self.user.clone());
        (user.is_some() || client.is_some()).then_some(Target { user, client })
    }
}
