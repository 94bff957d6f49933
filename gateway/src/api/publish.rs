//! `publish` and `broadcast`.

use natter_protocol::ErrorCode;
use serde_json::json;
use tokio::task::yield_now;

use super::{
    Answer, answer_body, json_text,
    message::{Handed, Message},
    refusal::Refusal,
    request::{BroadcastRequest, Call, PublishRequest},
};
use crate::history::Position;

/// Rooms that one `broadcast` may name.
const MAX_BROADCAST: usize = 10_000;
/// Rooms that are handed over before other tasks of the worker get their turn again: under a millisecond.
const SLICE: usize = 256;

impl Call<'_> {
    pub(super) async fn publish(&self, request: PublishRequest<'_>) -> Answer {
        let (channel, message) = request.split();
        published(self.hand_over(&channel, &Message::read(message)?)).await
    }

    /// Every room's message is on its way before the first answer is waited for.
    pub(super) async fn broadcast(&self, request: BroadcastRequest<'_>) -> Answer {
        let (channels, message) = request.split();
        if channels.is_empty() {
            return Err(Refusal::bad("`channels` is empty"));
        }
        if channels.len() > MAX_BROADCAST {
            return Err(ErrorCode::LimitExceeded.into());
        }
        let message = Message::read(message)?;
        let mut handed = Vec::with_capacity(channels.len());
        for slice in channels.chunks(SLICE) {
            handed.extend(slice.iter().map(|channel| self.hand_over(channel, &message)));
            yield_now().await;
        }
        let mut body = b"{\"responses\":[".to_vec();
        for (index, handed) in handed.into_iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend(answer_body(published(handed).await));
        }
        body.extend(b"]}");
        Ok(body)
    }
}

async fn published(handed: Result<Handed, Refusal>) -> Answer {
    let receipt = handed?.receipt().await?;
    Ok(receipt.map_or_else(|| b"{}".to_vec(), |receipt| position_text(&receipt.position)))
}

pub(super) fn position_text(position: &Position) -> Vec<u8> {
    json_text(&json!({ "offset": position.offset, "epoch": position.epoch.as_str() }))
}
