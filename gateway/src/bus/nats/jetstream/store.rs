//! Publications on their way into a stream, and what became of them.
//!
//! The call queues the message, so that the order of calls is the order in the stream; the future waits. A message
//! without a key carries no message id: the server would remember each of them for the whole window (150–195 bytes),
//! and nothing here sends it twice.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use sha1::{Digest, Sha1};
use tokio::time::Instant;
use tracing::debug;

use super::{
    JetStream,
    api::{self, ApiError, CallError, code},
    partition::StoredRoom,
    requests::{Answer, Question},
};
use crate::{
    bus::{BoxFuture, BusError, nats::message},
    history::{Position, Receipt, StoreError},
    publication::Publication,
};

const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The stream's answer to a publication.
#[derive(Deserialize)]
pub(super) struct Acknowledgement {
    stream: String,
    #[serde(rename = "seq")]
    pub(super) sequence: u64,
    #[serde(default)]
    duplicate: bool,
}

impl JetStream {
    /// Queues a publication for the room's stream, in call order, without waiting; the future answers within the
    /// store limit, a repeat up to two requests later. [`BusError::Disconnected`] also stands for a stream that is missing or has no leader at the
    /// moment: nothing was stored then. After [`BusError::Timeout`] nobody knows.
    pub(in crate::bus::nats) fn store(
        &self,
        room: &StoredRoom,
        publication: &Publication,
        key: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            return failed(BusError::Overloaded);
        };
        let mut headers = message::headers(publication);
        let id = key.map(|key| message_id(&room.subject, key));
        if let Some(id) = &id {
            headers.insert(MESSAGE_ID, id.as_str());
        }
        let deadline = Instant::now() + self.limits.store;
        let asked = self.requests.ask(Question {
            subject: room.subject.as_str().into(),
            headers,
            payload: publication.data.clone(),
        });
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => return failed(error),
        };
        let (jetstream, room, data) = (self.clone(), room.clone(), publication.data.clone());
        Box::pin(async move {
            let stored = acknowledged(answer, &room, deadline).await;
            drop(permit);
            let stored = stored?;
            if let Some(id) = id
                && (!stored.duplicate || jetstream.is_its_body(&room, stored.sequence, &id, &data).await?)
            {
                jetstream.bodies.insert(id, &data);
            }
            Ok(Receipt {
                position: Position {
                    epoch: room.partition.epoch.clone(),
                    offset: stored.sequence,
                },
                repeated: stored.duplicate,
            })
        })
    }

    /// Whether the message that a key was used for first is known to have this body; an error when it had another. When
    /// it is gone from the stream, what this gateway remembers decides; what it never saw is let pass, for the key was
    /// used, and nothing speaks against the repeat.
    async fn is_its_body(
        &self,
        room: &StoredRoom,
        sequence: u64,
        id: &str,
        data: &Bytes,
    ) -> Result<bool, StoreError> {
        let stream = &room.partition.stream;
        let same = match self.message(stream, sequence).await? {
            Some(stored) => {
                Some(stored.subject() == Some(room.subject.as_str()) && stored.message.payload == *data)
            }
            // The replica that answered may not have it yet.
            None => self
                .leader_message(stream, &json!({ "seq": sequence }))
                .await
                .map_err(BusError::from)?
                .map(|stored| stored.subject == room.subject && stored.data == *data)
                .or_else(|| self.bodies.is_same(id, data)),
        };
        if same == Some(false) {
            return Err(StoreError::KeyReused);
        }
        Ok(same.is_some())
    }
}

fn failed(error: BusError) -> BoxFuture<Result<Receipt, StoreError>> {
    Box::pin(std::future::ready(Err(error.into())))
}

/// Waits for the stream's answer to a message on the subject of `room`.
pub(super) async fn acknowledged(
    answer: Answer,
    room: &StoredRoom,
    deadline: Instant,
) -> Result<Acknowledgement, StoreError> {
    let answer = answer.until(deadline).await?;
    match api::read::<Acknowledgement>(&answer) {
        Ok(stored) if stored.stream == room.partition.stream => {
            room.partition.see(stored.sequence);
            Ok(stored)
        }
        Ok(stored) => {
            debug!(stream = %stored.stream, expected = %room.partition.stream, "another stream took the message");
            Err(BusError::Refused.into())
        }
        Err(CallError::Api(error)) => Err(refused(&error)),
        Err(error) => Err(BusError::from(error).into()),
    }
}

fn refused(error: &ApiError) -> StoreError {
    debug!(%error, "the stream refused a message");
    match error.number {
        code::STORE_FAILED
        | code::STORAGE_EXCEEDED
        | code::MEMORY_EXCEEDED
        | code::INSUFFICIENT_RESOURCES => StoreError::Full,
        code::MESSAGE_TOO_LARGE | code::HEADERS_TOO_LARGE => BusError::TooLarge.into(),
        // The first of two with one id is on its way: what becomes of it is not known yet.
        code::DUPLICATE_IN_PROCESS => BusError::Timeout.into(),
        _ => BusError::Refused.into(),
    }
}

/// Message ids are unique in a whole stream, so the room is part of them; a hash bounds their length. SHA-1 because
/// what is needed is that nobody finds a second key to a given id, in 128 bits.
fn message_id(subject: &str, key: &str) -> String {
    let mut hash = Sha1::new();
    // A subject contains no space.
    hash.update(subject);
    hash.update(b" ");
    hash.update(key);
    BASE64_URL_SAFE_NO_PAD.encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_short_and_name_room_and_key() {
        let id = message_id("n.msg.chat.0.a", "key");
        assert_eq!(id.len(), 22);
        assert_eq!(id, message_id("n.msg.chat.0.a", "key"));
        assert_ne!(id, message_id("n.msg.chat.0.b", "key"));
        assert_ne!(id, message_id("n.msg.chat.0.a", "key2"));
        assert_eq!(message_id("n.msg.chat.0.a", &"k".repeat(10_240)).len(), 22);
    }

    #[test]
    fn refusals_have_a_meaning() {
        for (number, meaning) in [
            (10_077, StoreError::Full),
            (10_047, StoreError::Full),
            (10_054, BusError::TooLarge.into()),
            (10_097, BusError::TooLarge.into()),
            (10_158, BusError::Timeout.into()),
            (10_060, BusError::Refused.into()),
        ] {
            let error = ApiError {
                number,
                description: String::new(),
            };
            assert_eq!(refused(&error), meaning);
        }
    }
}
