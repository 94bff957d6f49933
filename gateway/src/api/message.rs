//! A message that a backend publishes: one reader for every door, and its way to the bus.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use natter_protocol::{ErrorCode, Payload, payload};
use serde_json::{json, value::RawValue};
use tokio::task::JoinHandle;

use super::{refusal::Refusal, request::Call};
use crate::{
    bus::BusError,
    gateway::{Accept, Accepted, Source},
    history::{MAX_KEY, Receipt, StoreError},
    namespace::Namespace,
};

/// What is published, as it stands in requests.
pub(super) struct MessageRequest<'a> {
    pub(super) data: Option<&'a RawValue>,
    /// Base64 of `data`, in its place.
    pub(super) b64data: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// Idempotency key.
    pub(super) key: Option<String>,
    /// It asks not to be stored, or only if its version is newer: Centrifugo's `skip_history` and `version`.
    pub(super) may_skip_history: bool,
}

pub(super) struct Message {
    data: Data,
    tags: Option<Bytes>,
    key: Option<String>,
    may_skip_history: bool,
}

/// What a backend says in a room.
enum Data {
    /// JSON text on one line.
    Json(Bytes),
    /// It was sent as base64: any bytes.
    Bytes(Bytes),
}

impl Data {
    /// For a room of `namespace`: its members take what is JSON, or anything.
    fn of(&self, namespace: &Namespace) -> Result<Bytes, Refusal> {
        match self {
            Self::Json(data) => Ok(data.clone()),
            Self::Bytes(data) if namespace.is_binary() => Ok(data.clone()),
            Self::Bytes(data) => Payload::Bytes(data)
                .json_line()
                .map(|line| line.into_owned().into())
                .ok_or_else(|| Refusal::bad("`b64data` holds no JSON")),
        }
    }
}

impl Message {
    pub(super) fn read(request: MessageRequest<'_>) -> Result<Self, Refusal> {
        let encoded = request.b64data.filter(|encoded| !encoded.is_empty());
        let data = match (request.data, encoded) {
            (Some(data), None) => Data::Json(single_line(data)),
            (None, Some(encoded)) => decode(&encoded)?,
            // Written for an unset field by encoders that leave nothing out.
            (Some(data), Some(encoded)) if data.get() == "null" => decode(&encoded)?,
            (Some(_), Some(_)) => return Err(Refusal::bad("there is both `data` and `b64data`")),
            (None, None) => return Err(Refusal::bad("`data` is missing")),
        };
        if request.key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
            return Err(Refusal::bad(format!(
                "the idempotency key is longer than {MAX_KEY} bytes"
            )));
        }
        let tags = (!request.tags.is_empty()).then(|| json!(request.tags).to_string().into());
        Ok(Self {
            data,
            tags,
            key: request.key,
            may_skip_history: request.may_skip_history,
        })
    }
}

fn single_line(data: &RawValue) -> Bytes {
    Bytes::from(payload::single_line(data.get()).into_owned())
}

fn decode(encoded: &str) -> Result<Data, Refusal> {
    let bytes = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| Refusal::bad("`b64data` is not base64"))?;
    Ok(Data::Bytes(bytes.into()))
}

/// A message that the bus was given.
pub(super) enum Handed {
    /// To an ephemeral room.
    Sent,
    /// To a durable room. A task of its own, so that what becomes of it is counted even when the caller goes away.
    Storing(JoinHandle<Result<Receipt, StoreError>>),
}

impl Call<'_> {
    /// Hands the message to the bus, in call order, without waiting.
    pub(super) fn hand_over(&self, channel: &str, message: &Message) -> Result<Handed, Refusal> {
        let namespace = self.namespace(channel)?;
        // Every message of a durable room is stored and has its place. Whoever counts on something else has to know;
        // without history both options mean nothing, as in Centrifugo.
        if message.may_skip_history && namespace.history.is_some() {
            let error = ErrorCode::NotAvailable;
            namespace.metrics.offer(Source::Api).refuse(error.label());
            return Err(error.into());
        }
        let accept = Accept {
            channel,
            data: message.data.of(&namespace)?,
            info: None,
            tags: message.tags.clone(),
            traceparent: self.traceparent,
            source: Source::Api,
            key: message.key.as_deref(),
        };
        Ok(match self.gateway.publish(&namespace, accept)? {
            Accepted::Sent => Handed::Sent,
            Accepted::Storing(stored) => Handed::Storing(tokio::spawn(stored)),
        })
    }
}

impl Handed {
    /// Waits until a durable room has stored the message; `None` from an ephemeral one.
    pub(super) async fn receipt(self) -> Result<Option<Receipt>, Refusal> {
        match self {
            Self::Sent => Ok(None),
            // The task only ends early with its runtime; nobody knows then.
            Self::Storing(task) => Ok(Some(task.await.unwrap_or(Err(BusError::Timeout.into()))?)),
        }
    }
}
