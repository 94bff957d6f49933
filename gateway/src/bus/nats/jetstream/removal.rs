//! Forgetting a room's messages without forgetting where it was.
//!
//! A purged room would look as if it had never had a message, and its offsets as if they were from the future. So a
//! marker is stored first and everything before it is purged: the newest sequence stays known, and gateways that hear
//! the marker live go on from it. Gateways may still have at hand what the stream forgot by itself, so a room without
//! messages gets a marker too; only a stream that never had a message needs none.
//!
//! A full stream takes no marker: then the room is purged first, which makes room for it.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{JetStream, api::Verb, live, partition::StoredRoom, requests::Question, store};
use crate::{bus::BusError, history::StoreError};

impl JetStream {
    pub(in crate::bus::nats) async fn remove(&self, room: &StoredRoom) -> Result<(), BusError> {
        let head = self.leader_head(room).await?;
        if head == 0 && self.never_had_a_message(room).await? {
            return Ok(());
        }
        let marker = match self.mark(room).await {
            Err(StoreError::Full) if head > 0 => {
                self.purge_before(room, head.saturating_add(1)).await?;
                self.mark(room).await
            }
            marked => marked,
        };
        let marker = marker.map_err(|error| match error {
            StoreError::Bus(error) => error,
            StoreError::Full | StoreError::KeyReused => BusError::Refused,
        })?;
        self.purge_before(room, marker).await
    }

    async fn never_had_a_message(&self, room: &StoredRoom) -> Result<bool, BusError> {
        Ok(self.newest_sequence(&room.partition).await? == 0)
    }

    /// Stores a marker; returns its sequence.
    async fn mark(&self, room: &StoredRoom) -> Result<u64, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(live::MARKER, "removed");
        let answer = self.requests.ask(Question {
            subject: room.subject.as_str().into(),
            headers,
            payload: Bytes::new(),
        })?;
        let deadline = Instant::now() + self.limits.store;
        let stored = store::acknowledged(answer, room, deadline).await?;
        Ok(stored.sequence)
    }

    async fn purge_before(&self, room: &StoredRoom, sequence: u64) -> Result<(), BusError> {
        /// Nothing of the answer matters but that it is no error.
        #[derive(Deserialize)]
        struct Purged {}

        let before = json!({ "filter": room.subject, "seq": sequence });
        let Purged {} = self.call(Verb::Purge, &room.partition.stream, &before).await?;
        Ok(())
    }
}
