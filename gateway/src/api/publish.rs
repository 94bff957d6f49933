//! `publish` and `broadcast`.

use std::collections::VecDeque;

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
/// Rooms of one `broadcast` whose answers are waited for at once: a fraction of what the bus takes, so that neither
/// its own rooms nor those of others are refused for it.
const MAX_UNANSWERED: usize = 512;
/// Rooms that are handed over before other tasks of the worker get their turn again: under a millisecond.
pub(super) const SLICE: usize = 256;

impl Call<'_> {
    pub(super) async fn publish(&self, request: PublishRequest<'_>) -> Answer {
        let (channel, message) = request.split();
        published(self.hand_over(&channel, &Message::read(message)?)).await
    }

    /// So many messages are on their way at once; the next one follows when the oldest is answered.
    pub(super) async fn broadcast(&self, request: BroadcastRequest<'_>) -> Answer {
        let (channels, message) = request.split();
        if channels.is_empty() {
            return Err(Refusal::bad("`channels` is empty"));
        }
        if channels.len() > MAX_BROADCAST {
            return Err(ErrorCode::LimitExceeded.into());
        }
        let message = Message::read(message)?;
        let mut body = b"{\"responses\":[".to_vec();
        let mut unanswered = VecDeque::with_capacity(MAX_UNANSWERED.min(channels.len()));
        for (index, channel) in channels.iter().enumerate() {
            if unanswered.len() == MAX_UNANSWERED {
                put_oldest(&mut unanswered, &mut body).await;
            }
            unanswered.push_back(self.hand_over(channel, &message));
            if index % SLICE == SLICE - 1 {
                yield_now().await;
            }
        }
        while !unanswered.is_empty() {
            put_oldest(&mut unanswered, &mut body).await;
        }
        body.extend(b"]}");
        Ok(body)
    }
}

/// Waits for the answer of the oldest message and appends it to the responses.
async fn put_oldest(unanswered: &mut VecDeque<Result<Handed, Refusal>>, body: &mut Vec<u8>) {
    let Some(oldest) = unanswered.pop_front() else {
        return;
    };
    if !body.ends_with(b"[") {
        body.push(b',');
    }
    body.extend(answer_body(published(oldest).await));
}

async fn published(handed: Result<Handed, Refusal>) -> Answer {
    let receipt = handed?.receipt().await?;
    Ok(receipt.map_or_else(|| b"{}".to_vec(), |receipt| position_text(&receipt.position)))
}

pub(super) fn position_text(position: &Position) -> Vec<u8> {
    json_text(&json!({ "offset": position.offset, "epoch": position.epoch.as_str() }))
}
