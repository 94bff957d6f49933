//! Whether a room lacks nothing after a position that has no message of it.
//!
//! A joiner of an empty room is told the stream's newest sequence; nothing of the room is there to hold on to later. What
//! was said since may be gone by age, by `max_bytes`, by a limit that was lowered for a while or by hand, and none of
//! that leaves a trace in the room. But it leaves one in the stream: a sequence that is not there. So the room lacks
//! nothing if the stream has every sequence between the position and the next message of the room, of whatever rooms.
//! When it lacks some they may have been of other rooms: in doubt the answer is no.

use super::BATCH_BYTES;
use crate::bus::{
    BusError,
    nats::jetstream::{JetStream, partition::StoredRoom},
};

/// Every subject of a stream.
const ANY: &str = ">";

impl JetStream {
    /// Whether nothing of the room is gone after the sequence `since` and before its message `first`; `None`: it has none
    /// after `since`. False for a sequence that there is not yet.
    pub(super) async fn is_connected(
        &self,
        room: &StoredRoom,
        since: u64,
        first: Option<u64>,
    ) -> Result<bool, BusError> {
        let stream = &room.partition.stream;
        let end = match first {
            Some(first) => first,
            None => self.newest_sequence(&room.partition).await?.saturating_add(1),
        };
        let begin = since.saturating_add(1);
        if begin >= end {
            return Ok(begin == end);
        }
        // Replicas that lag differently could make up for what is missing only by exactly its number.
        let after = self.count(stream, ANY, end).await?;
        let all = self.count(stream, ANY, begin).await?;
        Ok(all.checked_sub(after) == Some(end - begin))
    }

    /// How many messages of these subjects the stream has from this sequence on.
    pub(super) async fn count(&self, stream: &str, subjects: &str, sequence: u64) -> Result<u64, BusError> {
        let batch = self.read(stream, subjects, sequence, 1, BATCH_BYTES).await?;
        Ok(batch
            .messages
            .first()
            .map_or(0, |stored| stored.pending.saturating_add(1)))
    }
}
