//! The JSON API of `JetStream`: a question, and an answer or a numbered error. These questions are answered by the
//! stream's leader (or the meta leader), unlike direct reads.

use std::time::UNIX_EPOCH;

use async_nats::{HeaderMap, Message, StatusCode};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    JetStream,
    partition::StoredRoom,
    requests::{AskError, Question},
};
use crate::bus::BusError;

/// What is asked about one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus::nats) enum Verb {
    Info,
    Message,
    Purge,
    Create,
    Update,
    Delete,
}

impl Verb {
    /// Where it is asked.
    pub(in crate::bus::nats) fn subject(self, stream: &str) -> String {
        let verb = match self {
            Self::Info => "INFO",
            Self::Message => "MSG.GET",
            Self::Purge => "PURGE",
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        };
        format!("$JS.API.STREAM.{verb}.{stream}")
    }
}

/// The one question about streams that names none.
pub(in crate::bus::nats) const STREAM_NAMES: &str = "$JS.API.STREAM.NAMES";

/// Error numbers of the server that decide something here.
pub(super) mod code {
    pub(in super::super) const ACCOUNT_NOT_ENABLED: u32 = 10_039;
    pub(in super::super) const INSUFFICIENT_RESOURCES: u32 = 10_023;
    pub(in super::super) const MEMORY_EXCEEDED: u32 = 10_028;
    pub(in super::super) const NO_MESSAGE: u32 = 10_037;
    pub(in super::super) const STORAGE_EXCEEDED: u32 = 10_047;
    pub(in super::super) const MESSAGE_TOO_LARGE: u32 = 10_054;
    pub(in super::super) const NAME_IN_USE: u32 = 10_058;
    pub(in super::super) const STREAM_NOT_FOUND: u32 = 10_059;
    pub(in super::super) const WRONG_STREAM: u32 = 10_060;
    pub(in super::super) const WRONG_LAST_SEQUENCE: u32 = 10_071;
    pub(in super::super) const NOT_ENABLED: u32 = 10_076;
    /// Limits of the stream, a full disk among them.
    pub(in super::super) const STORE_FAILED: u32 = 10_077;
    /// A message's headers take more than 64 KiB.
    pub(in super::super) const HEADERS_TOO_LARGE: u32 = 10_097;
    /// Another publication with the same message id is not stored yet (replicated streams).
    pub(in super::super) const DUPLICATE_IN_PROCESS: u32 = 10_158;
    /// As [`WRONG_LAST_SEQUENCE`], while publications of the same subject are under way; its text has no sequence.
    pub(in super::super) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u32 = 10_164;
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{description} (JetStream error {number})")]
pub(in crate::bus::nats) struct ApiError {
    #[serde(rename = "err_code", default)]
    pub(super) number: u32,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::bus::nats) enum CallError {
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Nobody listens: no such stream, no leader, or no `JetStream`.
    #[error("nobody answers at NATS")]
    NoResponders,
    #[error(transparent)]
    Api(ApiError),
    #[error("unreadable answer of JetStream")]
    Unreadable,
    #[error("NATS does not permit to publish to {0}")]
    NotPermitted(String),
}

impl From<AskError> for CallError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Bus(error) => Self::Bus(error),
            AskError::NotPermitted(subject) => Self::NotPermitted(subject),
        }
    }
}

impl From<CallError> for BusError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Bus(error) => error,
            CallError::NoResponders => Self::Disconnected,
            CallError::Api(_) | CallError::Unreadable | CallError::NotPermitted(_) => Self::Refused,
        }
    }
}

/// A message as the leader has it.
pub(super) struct LeaderMessage {
    pub(super) sequence: u64,
    pub(super) subject: String,
    /// When it was stored, in nanoseconds of Unix time.
    pub(super) time: u64,
    pub(super) data: Vec<u8>,
}

/// Nanoseconds of Unix time; 0 where there is none, as of a stream that never had a message.
pub(super) fn nanoseconds(rfc3339: &str) -> u64 {
    let time = humantime::parse_rfc3339(rfc3339).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[derive(Deserialize)]
struct Failure {
    error: Option<ApiError>,
}

pub(super) fn read<T: DeserializeOwned>(message: &Message) -> Result<T, CallError> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(CallError::NoResponders);
    }
    let failure: Failure = serde_json::from_slice(&message.payload).map_err(|_| CallError::Unreadable)?;
    if let Some(error) = failure.error {
        return Err(CallError::Api(error));
    }
    serde_json::from_slice(&message.payload).map_err(|_| CallError::Unreadable)
}

impl JetStream {
    /// Asks something about a stream; null stands for no body.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        verb: Verb,
        stream: &str,
        body: &Value,
    ) -> Result<T, CallError> {
        self.call_at(verb.subject(stream), body).await
    }

    /// As [`JetStream::call`], at a subject of its own.
    pub(super) async fn call_at<T: DeserializeOwned>(
        &self,
        subject: String,
        body: &Value,
    ) -> Result<T, CallError> {
        let answer = self.requests.ask(Question {
            subject: subject.into(),
            headers: HeaderMap::new(),
            payload: match body {
                Value::Null => Bytes::new(),
                body => body.to_string().into(),
            },
        })?;
        read(&answer.until(Instant::now() + self.limits.request).await?)
    }

    /// Newest sequence of the room as its stream's leader knows it, 0 when it has no message.
    pub(super) async fn leader_head(&self, room: &StoredRoom) -> Result<u64, BusError> {
        let wanted = json!({ "last_by_subj": room.subject });
        Ok(self
            .leader_message(&room.partition.stream, &wanted)
            .await?
            .map_or(0, |message| message.sequence))
    }

    /// `wanted` is the body of `STREAM.MSG.GET`.
    pub(super) async fn leader_message(
        &self,
        stream: &str,
        wanted: &Value,
    ) -> Result<Option<LeaderMessage>, CallError> {
        #[derive(Deserialize)]
        struct Found {
            message: Stored,
        }
        #[derive(Deserialize)]
        struct Stored {
            subject: String,
            seq: u64,
            #[serde(default)]
            time: String,
            #[serde(default)]
            data: String,
        }
        match self.call::<Found>(Verb::Message, stream, wanted).await {
            Ok(Found { message }) => Ok(Some(LeaderMessage {
                sequence: message.seq,
                subject: message.subject,
                time: nanoseconds(&message.time),
                data: BASE64_STANDARD
                    .decode(message.data)
                    .map_err(|_| CallError::Unreadable)?,
            })),
            Err(CallError::Api(error)) if error.number == code::NO_MESSAGE => Ok(None),
            Err(error) => Err(error),
        }
    }
}
