//! `publish` and `broadcast`.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use natter_protocol::{ErrorCode, Payload};
use serde_json::{json, value::RawValue};

use super::{
    Answer, answer_body, refused,
    request::{BroadcastRequest, Call, MessageRequest, PublishRequest},
};
use crate::gateway::{Accept, Source};

/// Rooms that one `broadcast` may name.
const MAX_BROADCAST: usize = 10_000;

/// A message that any member of a room can take.
struct Message {
    data: Bytes,
    tags: Option<Bytes>,
}

impl Call<'_> {
    pub(super) fn publish(&self, request: PublishRequest<'_>) -> Answer {
        let (channel, message) = request.split();
        self.publish_to(&channel, &read(message)?)
    }

    pub(super) fn broadcast(&self, request: BroadcastRequest<'_>) -> Answer {
        let (channels, message) = request.split();
        if channels.is_empty() {
            return Err(ErrorCode::BadRequest);
        }
        if channels.len() > MAX_BROADCAST {
            return Err(ErrorCode::LimitExceeded);
        }
        let message = read(message)?;
        let responses: Vec<_> = channels
            .iter()
            .map(|channel| answer_body(self.publish_to(channel, &message)))
            .collect();
        Ok(json!({ "responses": responses }))
    }

    fn publish_to(&self, channel: &str, message: &Message) -> Answer {
        let live = self.gateway.live();
        let namespace = live.namespace(channel)?;
        let accept = Accept {
            channel,
            data: message.data.clone(),
            info: None,
            tags: message.tags.clone(),
            traceparent: self.traceparent,
            source: Source::Api,
        };
        self.gateway.publish(namespace, accept).map_err(refused)?;
        Ok(json!({}))
    }
}

fn read(request: MessageRequest<'_>) -> Result<Message, ErrorCode> {
    let encoded = request.b64data.filter(|encoded| !encoded.is_empty());
    let data = match (request.data, encoded) {
        (Some(data), None) => single_line(data),
        (None, Some(encoded)) => decode(&encoded)?,
        // Written for an unset field by encoders that leave nothing out.
        (Some(data), Some(encoded)) if data.get() == "null" => decode(&encoded)?,
        _ => return Err(ErrorCode::BadRequest),
    };
    let tags = (!request.tags.is_empty()).then(|| json!(request.tags).to_string().into());
    Ok(Message { data, tags })
}

fn single_line(data: &RawValue) -> Bytes {
    Bytes::from(Payload::from(data).single_line().into_owned())
}

/// Binary data goes into a room of JSON clients only when it is JSON.
fn decode(encoded: &str) -> Result<Bytes, ErrorCode> {
    let bytes = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| ErrorCode::BadRequest)?;
    let data: &RawValue = serde_json::from_slice(&bytes).map_err(|_| ErrorCode::BadRequest)?;
    Ok(single_line(data))
}
