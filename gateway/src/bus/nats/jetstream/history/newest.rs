//! The newest messages of a room, newest first.
//!
//! There is no request for the last so many messages of a subject. But every message that is read says how many follow
//! it, so the place to start is found by halving: about log₂(newest sequence) reads of one message, and fewer when the
//! room is small. Then everything from there is read forward and turned around.

use std::{collections::VecDeque, ops::ControlFlow};

use super::{BATCH, Forward, publication};
use crate::{
    bus::{
        BusError,
        nats::jetstream::{JetStream, partition::StoredRoom},
    },
    history::MAX_PAGE_BYTES,
};

/// Messages read in vain that cost less than another step of the search.
const SLACK: u64 = 128;

impl JetStream {
    /// At most `limit` publications before `before` (`None`: the end), or as many as a page may carry.
    pub(super) async fn newest(
        &self,
        room: &StoredRoom,
        before: Option<u64>,
        limit: usize,
        head: u64,
    ) -> Result<Forward, BusError> {
        let end = before.unwrap_or(u64::MAX);
        let mut found = Forward::nothing();
        if limit == 0 || head == 0 || end <= 1 {
            return Ok(found);
        }
        let start = self.start_of_newest(room, before, limit, head).await?;
        let mut newest = VecDeque::new();
        let mut bytes = 0;
        self.scan(room, start, BATCH, head.min(end - 1), |stored| {
            if stored.sequence >= end {
                return ControlFlow::Break(());
            }
            if let Some(publication) = publication(stored) {
                bytes += publication.data.len();
                newest.push_back(publication);
            }
            while let Some(oldest) = newest.front()
                && (newest.len() > limit || bytes - oldest.data.len() >= MAX_PAGE_BYTES)
            {
                found.truncated |= newest.len() <= limit;
                bytes -= oldest.data.len();
                newest.pop_front();
            }
            ControlFlow::Continue(())
        })
        .await?;
        found.truncated &= newest.len() < limit;
        found.publications = newest.into_iter().rev().collect();
        Ok(found)
    }

    /// A sequence from which on there are `limit` messages before `before`, and not many more.
    async fn start_of_newest(
        &self,
        room: &StoredRoom,
        before: Option<u64>,
        limit: usize,
        head: u64,
    ) -> Result<u64, BusError> {
        let beyond = match before {
            Some(before) if before <= head => self.count_from(room, before).await?,
            _ => 0,
        };
        let needed = beyond.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX));
        let enough = needed.saturating_add(SLACK);
        let (mut low, mut high) = (1, before.unwrap_or(u64::MAX).min(head.saturating_add(1)));
        let mut count = self.count_from(room, low).await?;
        while count > enough && high - low > 1 {
            let middle = low + (high - low) / 2;
            let from_middle = self.count_from(room, middle).await?;
            if from_middle >= needed {
                (low, count) = (middle, from_middle);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// How many messages the room has from this sequence on.
    async fn count_from(&self, room: &StoredRoom, sequence: u64) -> Result<u64, BusError> {
        self.count(&room.partition.stream, &room.subject, sequence).await
    }
}
