//! A subscription that the server decides on: by the server API, or with the connection.

use std::sync::Arc;

use bytes::Bytes;
use natter_protocol::SubscribeRequest;
use serde::{Deserialize, Serialize};

use crate::{cluster::base64, permission::Allow, revocation::Credential};

/// A room and what its member gets there. Travels between gateways: what an older one does not say has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub channel: String,
    /// What others are told of the client in this room, JSON text on one line; empty: nothing.
    #[serde(default, with = "base64", skip_serializing_if = "Bytes::is_empty")]
    pub info: Bytes,
    /// What the client is told with the subscription, as the room's messages are; empty: nothing.
    #[serde(default, with = "base64", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// When the subscription expires, as a Unix time in seconds; 0: never.
    #[serde(default, skip_serializing_if = "is_never")]
    pub expire_at: u64,
    /// Where the client was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover_since: Option<Since>,
    /// In place of the namespace's `force_recovery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_recovery: Option<bool>,
    /// In place of the namespace's `force_positioning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_positioning: Option<bool>,
    /// What its member may do there beside what the namespace permits; said by its token or a backend, where the client is.
    #[serde(skip)]
    pub allow: Allow,
    /// What the token said that the client brought for it. Stays here.
    #[serde(skip)]
    pub token: Option<Arc<Credential>>,
}

/// A place in a room's history; an empty epoch stands for the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    pub offset: u64,
    pub epoch: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_never(expire_at: &u64) -> bool {
    *expire_at == 0
}

impl Grant {
    /// With the options of its namespace and nothing else.
    pub fn of(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            ..Self::default()
        }
    }
}

impl Since {
    /// The same as a client would say it.
    pub fn as_request(&self) -> SubscribeRequest<'_> {
        SubscribeRequest {
            recover: true,
            epoch: self.epoch.as_str().into(),
            offset: self.offset,
            ..SubscribeRequest::default()
        }
    }
}
