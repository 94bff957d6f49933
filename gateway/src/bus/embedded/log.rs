//! One durable room: its newest publications, its position, its idempotency keys.
//!
//! Offsets are contiguous from 1. What is kept is always the end of the room's history, so its front tells what was
//! evicted. Age is judged on every access: what is too old is never seen, whenever the sweep comes by.

use std::{collections::VecDeque, iter::repeat_with, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::idempotency::Keys;
use crate::{
    bus::{BusError, Overloaded},
    config::HistoryOptions,
    history::{Epoch, Page, Position, Query, Receipt, StoreError},
    publication::Publication,
};

/// Characters of an epoch, each one of 62.
const EPOCH_LENGTH: usize = 8;

pub(super) struct Log {
    epoch: Epoch,
    /// Offset of the newest publication that was ever stored here.
    last: u64,
    entries: VecDeque<Entry>,
    /// Greatest age of an entry, as the last store said.
    ttl: Duration,
    /// Boxed, since most rooms never see one.
    keys: Option<Box<Keys>>,
}

struct Entry {
    stored: Instant,
    publication: Arc<Publication>,
}

impl Log {
    pub(super) fn new() -> Self {
        let epoch: String = repeat_with(fastrand::alphanumeric).take(EPOCH_LENGTH).collect();
        Self {
            epoch: Epoch::from(epoch.as_str()),
            last: 0,
            entries: VecDeque::new(),
            ttl: Duration::ZERO,
            keys: None,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.position_at(self.last)
    }

    fn position_at(&self, offset: u64) -> Position {
        Position {
            epoch: self.epoch.clone(),
            offset,
        }
    }

    /// Delivers `publication` under the next offset and keeps it, or does neither.
    pub(super) fn store(
        &mut self,
        options: &HistoryOptions,
        publication: &Publication,
        key: Option<&str>,
        deliver: impl FnOnce(Publication) -> Result<(), Overloaded>,
    ) -> Result<Receipt, StoreError> {
        let now = Instant::now();
        self.ttl = options.ttl;
        self.expire(now);
        if let Some(key) = key {
            let keys = self.keys.get_or_insert_default();
            if let Some(offset) = keys.find(key, &publication.data, options.idempotency_window, now)? {
                return Ok(self.receipt(offset, true));
            }
        }

        let mut publication = publication.clone();
        publication.offset = self.last + 1;
        deliver(publication.clone()).map_err(|Overloaded| BusError::Overloaded)?;
        self.last = publication.offset;
        if let (Some(key), Some(keys)) = (key, &mut self.keys) {
            keys.insert(key, &publication.data, publication.offset, now);
        }
        self.append(publication, options.size, now);
        Ok(self.receipt(self.last, false))
    }

    fn append(&mut self, publication: Publication, size: usize, now: Instant) {
        let excess = (self.entries.len() + 1).saturating_sub(size);
        self.entries.drain(..excess.min(self.entries.len()));
        if size > 0 {
            self.entries.push_back(Entry {
                stored: now,
                publication: Arc::new(publication),
            });
        }
    }

    fn receipt(&self, offset: u64, repeated: bool) -> Receipt {
        Receipt {
            position: self.position_at(offset),
            repeated,
        }
    }

    pub(super) fn page(&mut self, query: &Query) -> Page {
        self.expire(Instant::now());
        Page {
            publications: if query.reverse {
                self.before(query.since, query.limit)
            } else {
                self.after(query.since.unwrap_or(0), query.limit)
            },
            head: self.position(),
            complete: self.is_complete(query),
        }
    }

    fn after(&self, since: u64, limit: usize) -> Vec<Arc<Publication>> {
        let start = self
            .entries
            .partition_point(|entry| entry.publication.offset <= since);
        let entries = self.entries.range(start..).take(limit);
        entries.map(|entry| entry.publication.clone()).collect()
    }

    /// The next offset counts as `since`, for it asks for everything; what lies beyond it is answered with nothing.
    fn before(&self, since: Option<u64>, limit: usize) -> Vec<Arc<Publication>> {
        let since = since.unwrap_or(self.last + 1);
        if since > self.last + 1 {
            return Vec::new();
        }
        let end = self
            .entries
            .partition_point(|entry| entry.publication.offset < since);
        let entries = self.entries.range(..end).rev().take(limit);
        entries.map(|entry| entry.publication.clone()).collect()
    }

    fn is_complete(&self, query: &Query) -> bool {
        let Some(since) = query.since else { return true };
        let evicted = self.last_evicted();
        if query.reverse {
            let nearest = since.saturating_sub(1).min(self.last);
            nearest == 0 || nearest > evicted
        } else {
            (evicted..=self.last).contains(&since)
        }
    }

    /// Offset of the newest publication that is not here any more; 0 while all are.
    fn last_evicted(&self) -> u64 {
        let oldest = self.entries.front();
        oldest.map_or(self.last, |entry| entry.publication.offset - 1)
    }

    /// Forgets the publications. A repeated key is still answered with its first receipt.
    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
    }

    fn expire(&mut self, now: Instant) {
        let too_old = |entry: &Entry| now.duration_since(entry.stored) >= self.ttl;
        while self.entries.front().is_some_and(too_old) {
            self.entries.pop_front();
        }
        if let Some(keys) = &mut self.keys {
            keys.expire(now);
        }
    }

    /// Gives back the memory of what is too old, and says how long the rest is good for: the time until the next
    /// visit is worth it. `None` when nothing is left.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Duration> {
        self.expire(now);
        self.entries.shrink_to(self.entries.len() * 2);
        self.keys.take_if(|keys| keys.is_empty());
        if let Some(keys) = &mut self.keys {
            keys.shrink();
        }
        let newest = self.entries.back();
        let entries = newest.map(|entry| self.ttl.saturating_sub(now.duration_since(entry.stored)));
        let keys = self.keys.as_ref().and_then(|keys| keys.remaining(now));
        [entries, keys].into_iter().flatten().min()
    }
}
