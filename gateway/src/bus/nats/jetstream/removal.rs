//! Forgetting a room's messages without forgetting where it was.
//!
//! A purged room would look as if it had never had a message, and its offsets as if they were from the future. So a
//! marker is stored first and everything before it is purged: the newest sequence stays known, and gateways that hear
//! the marker live go on from it.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{JetStream, live, partition::StoredRoom, requests::Question, store};
use crate::{bus::BusError, history::StoreError};

impl JetStream {
    pub(in crate::bus::nats) async fn remove(&self, room: &StoredRoom) -> Result<(), BusError> {
        /// Nothing of the answer matters but that it is no error.
        #[derive(Deserialize)]
        struct Purged {}

        if self.leader_head(room).await? == 0 {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert(live::MARKER, "removed");
        let answer = self.requests.ask(Question {
            subject: room.subject.clone(),
            headers,
            payload: Bytes::new(),
        })?;
        let deadline = Instant::now() + self.limits.store;
        let marker = store::acknowledged(answer, room, deadline)
            .await
            .map_err(|error| match error {
                StoreError::Bus(error) => error,
                StoreError::Full | StoreError::KeyReused => BusError::Refused,
            })?;
        let before = json!({ "filter": room.subject, "seq": marker.sequence });
        let Purged {} = self.call("STREAM.PURGE", &room.partition.stream, &before).await?;
        Ok(())
    }
}
