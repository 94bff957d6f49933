//! Whether a room lacks nothing after a position that has no message of it.
//!
//! A joiner of an empty room is told the stream's newest sequence; nothing of the room is there to hold on to later. What
//! was said since may be gone by age, by `max_bytes`, by a limit that was lowered for a while or by hand, and none of
//! that leaves a trace in the room. But it leaves one in the stream: a sequence that is not there. So the room lacks
//! nothing if the stream has every sequence between the position and the next message of the room, of whatever rooms.
//! When it lacks some they may have been of other rooms: in doubt the answer is no.
//!
//! That is known at once of a stream that lacks none at all, and by reading them when they are few. Else it is the difference
//! of two counts, taken one after the other. The longer one comes first: what is stored in between then makes the difference
//! too small, never too large. A replica that lags by just the number of missing messages could still make up for them, so
//! two differences must agree.

use std::ops::ControlFlow;

use super::BATCH_BYTES;
use crate::bus::{
    BusError,
    nats::jetstream::{JetStream, direct_get::Stored, partition::StoredRoom},
};

/// Every subject of a stream.
const ANY: &str = ">";
/// Messages that are read rather than counted.
const NEAR: u64 = 256;
/// Differences that must say so, and those that are taken before the answer is no: in a busy stream most are too small.
const AGREEING: usize = 2;
const TRIES: usize = 8;

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
        let Some(info) = self.stream_info(stream).await? else {
            return Ok(false);
        };
        let end = first.unwrap_or(info.state.last_seq.saturating_add(1));
        let begin = since.saturating_add(1);
        if begin >= end {
            return Ok(begin == end);
        }
        if info.state.first_seq > begin {
            return Ok(false);
        }
        if info.state.is_whole() && info.state.last_seq.saturating_add(1) >= end {
            return Ok(true);
        }
        if end - begin <= NEAR {
            return self.has_every(room, begin, end).await;
        }
        self.counts_every(stream, begin, end).await
    }

    /// Whether the stream has every sequence from `begin` to before `end`, by reading them.
    async fn has_every(&self, room: &StoredRoom, begin: u64, end: u64) -> Result<bool, BusError> {
        let every_room = StoredRoom {
            subject: ANY.to_owned(),
            ..room.clone()
        };
        let mut next = begin;
        let batch = usize::try_from(end - begin).unwrap_or(usize::MAX);
        let read = self.scan(&every_room, begin, batch, end - 1, |stored| {
            if stored.sequence != next {
                return ControlFlow::Break(());
            }
            next += 1;
            ControlFlow::Continue(())
        });
        read.await?;
        Ok(next >= end)
    }

    /// The same by counting.
    async fn counts_every(&self, stream: &str, begin: u64, end: u64) -> Result<bool, BusError> {
        let mut agreeing = 0;
        for _ in 0..TRIES {
            let Some(next) = self.first_from(stream, ANY, begin).await? else {
                // A replica that has not heard of it yet.
                continue;
            };
            if next.sequence > begin {
                return Ok(false);
            }
            let after = self.count(stream, ANY, end).await?;
            let all = next.pending.saturating_add(1);
            agreeing += usize::from(all.checked_sub(after) == Some(end - begin));
            if agreeing == AGREEING {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many messages of these subjects the stream has from this sequence on.
    pub(super) async fn count(&self, stream: &str, subjects: &str, sequence: u64) -> Result<u64, BusError> {
        let first = self.first_from(stream, subjects, sequence).await?;
        Ok(first.map_or(0, |stored| stored.pending.saturating_add(1)))
    }

    async fn first_from(
        &self,
        stream: &str,
        subjects: &str,
        sequence: u64,
    ) -> Result<Option<Stored>, BusError> {
        let batch = self.read(stream, subjects, sequence, 1, BATCH_BYTES).await?;
        Ok(batch.messages.into_iter().next())
    }
}
