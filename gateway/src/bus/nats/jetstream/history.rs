//! Reading a room: pages for clients, and the repair of gaps.
//!
//! Direct reads are answered by any replica, and a replica may lag. So a read knows the sequence that it has to see and
//! goes on until it has seen it; whenever a replica ends too early the leader is asked whether that message still is.
//!
//! Eviction is silent: the stream just has no more of the room. That a position is still connected to what follows is
//! known if the message at the position itself is still there, because the stream forgets a room's oldest messages
//! first. So a read starts *at* the position, and each further request of it at the last message of the one before, which
//! costs one message. A position may also be without a message: a room that was empty when somebody joined, or whose
//! messages are gone by now. Then it is connected only if the stream lacks nothing between it and what follows ([`unbroken`]).

mod newest;
mod unbroken;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{
    JetStream,
    direct_get::{Batch, Stored},
    live::{is_marker, is_removal},
    partition::StoredRoom,
};
use crate::{
    bus::{BusError, nats::message},
    history::{MAX_PAGE_BYTES, Page, Position, Query},
    publication::Publication,
};

/// Messages and bytes of one request.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// Pause before a lagging replica is asked again; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Something of a gap.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bus::nats) enum Missed {
    Publication(Arc<Publication>),
    /// Everything before this sequence was removed.
    Removal(u64),
}

/// A piece of a room, in order.
#[derive(Debug, Default)]
pub(in crate::bus::nats) struct Range {
    pub(in crate::bus::nats) missed: Vec<Missed>,
    /// The last message asked for was there.
    pub(in crate::bus::nats) reached: bool,
    /// Nothing of it is gone otherwise than by a removal; true unless that was asked for.
    pub(in crate::bus::nats) complete: bool,
}

/// What was read in order, and whether it is connected to where it should start.
#[derive(Default)]
struct Forward {
    publications: Vec<Arc<Publication>>,
    complete: bool,
    /// Its bytes ran out before its limit.
    truncated: bool,
}

impl Forward {
    /// There is nothing to read.
    fn nothing() -> Self {
        Self {
            complete: true,
            ..Self::default()
        }
    }
}

impl JetStream {
    /// A page of the room. Its head is at least `known`, a sequence that the caller has seen (0: none), so that a
    /// lagging replica cannot take it back. `complete` is false when in doubt, and always true without `since` and in
    /// reverse.
    ///
    /// Cost: one small request and one per 1,000 messages or MiB; in reverse up to about 30 small requests more, and
    /// at most 128 messages more than asked for.
    pub(in crate::bus::nats) async fn page(
        &self,
        room: &StoredRoom,
        query: &Query,
        known: u64,
    ) -> Result<Page, BusError> {
        timeout(self.limits.history, self.unbounded_page(room, query, known))
            .await
            .map_err(|_| BusError::Timeout)?
    }

    /// What the stream has with `after` < sequence ≤ `until`, which is a message of the room. `strict`: whether
    /// some of it is gone is looked at.
    pub(in crate::bus::nats) async fn read_range(
        &self,
        room: &StoredRoom,
        after: u64,
        until: u64,
        strict: bool,
    ) -> Result<Range, BusError> {
        timeout(
            self.limits.history,
            self.unbounded_range(room, after, until, strict),
        )
        .await
        .map_err(|_| BusError::Timeout)?
    }

    async fn unbounded_range(
        &self,
        room: &StoredRoom,
        after: u64,
        until: u64,
        strict: bool,
    ) -> Result<Range, BusError> {
        let mut range = Range::default();
        let mut begins = false;
        let mut first = None;
        let gapless = self.scan(room, after, BATCH, until, |stored| {
            let sequence = stored.sequence;
            if sequence == after {
                begins = true;
                return ControlFlow::Continue(());
            }
            if first.is_none() {
                first = Some(sequence);
                // Whatever was before it was removed.
                begins |= is_removal(&stored.message);
            }
            if sequence > until {
                return ControlFlow::Break(());
            }
            range.reached |= sequence == until;
            if is_marker(&stored.message) {
                range.missed.push(Missed::Removal(sequence));
            } else {
                range.missed.extend(publication(stored).map(Missed::Publication));
            }
            ControlFlow::Continue(())
        });
        let gapless = gapless.await?;
        range.complete =
            !strict || gapless && range.reached && (begins || self.is_connected(room, after, first).await?);
        Ok(range)
    }

    async fn unbounded_page(&self, room: &StoredRoom, query: &Query, known: u64) -> Result<Page, BusError> {
        let mut head = self.last(&room.partition.stream, &room.subject).await?;
        if query
            .since
            .is_some_and(|since| Some(since) > head.max(Some(known)))
        {
            // From the future, or from a time that this replica has not seen yet.
            head = Some(self.leader_head(room).await?);
        }
        let head = head.unwrap_or(0).max(known);
        let read = match query {
            Query {
                reverse: true,
                since: Some(since),
                ..
            } if *since > head.saturating_add(1) => Forward::nothing(),
            Query {
                reverse: true,
                since,
                limit,
            } => self.newest(room, *since, *limit, head).await?,
            Query {
                since: Some(since), ..
            } if *since > head => Forward {
                // A position without a message is connected although the room has nothing after it.
                complete: self.is_connected(room, *since, None).await?,
                ..Forward::default()
            },
            Query {
                since: Some(since), ..
            } if *since == head && head > 0 => Forward::nothing(),
            Query {
                since: None,
                limit: 0,
                ..
            } => Forward::nothing(),
            Query {
                since: None, limit, ..
            } => Forward {
                complete: true,
                ..self.forward(room, 0, *limit, head).await?
            },
            Query {
                since: Some(since),
                limit,
                ..
            } => self.forward(room, *since, *limit, head).await?,
        };
        let newest = read
            .publications
            .iter()
            .map(|publication| publication.offset)
            .max();
        Ok(Page {
            head: Position {
                epoch: room.partition.epoch.clone(),
                offset: newest.unwrap_or(0).max(head),
            },
            publications: read.publications,
            complete: read.complete,
            truncated: read.truncated,
        })
    }

    /// Publications after `since`, at most `limit`, until they have the bytes of a page. Complete when nothing that
    /// followed `since` is gone.
    async fn forward(
        &self,
        room: &StoredRoom,
        since: u64,
        limit: usize,
        head: u64,
    ) -> Result<Forward, BusError> {
        let mut publications = Vec::new();
        let mut bytes = 0;
        let mut begins = false;
        let mut first = None;
        let batch = limit.saturating_add(1).min(BATCH);
        let gapless = self.scan(room, since, batch, head, |stored| {
            if stored.sequence == since {
                begins = true;
            } else {
                first.get_or_insert(stored.sequence);
                if publications.len() < limit
                    && let Some(publication) = publication(stored)
                {
                    bytes += publication.data.len();
                    publications.push(publication);
                }
            }
            if publications.len() >= limit || bytes >= MAX_PAGE_BYTES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let complete = gapless.await? && (begins || self.is_connected(room, since, first).await?);
        let last = publications.last().map_or(0, |last| last.offset);
        Ok(Forward {
            truncated: bytes >= MAX_PAGE_BYTES && publications.len() < limit && last < head,
            publications,
            complete,
        })
    }

    /// Shows `visit` every message of the room from `from` on, until it breaks or the message `head` was seen, or the
    /// leader says that there is no such message any more. False when messages went while they were read, so that some
    /// were not seen.
    pub(in crate::bus::nats::jetstream) async fn scan(
        &self,
        room: &StoredRoom,
        from: u64,
        batch: usize,
        mut head: u64,
        mut visit: impl FnMut(Stored) -> ControlFlow<()> + Send,
    ) -> Result<bool, BusError> {
        let stream = &room.partition.stream;
        let mut seen = from.saturating_sub(1);
        // Sequence and size of the message that the next request starts at.
        let mut last: Option<(u64, usize)> = None;
        let mut gapless = true;
        let mut pause = FIRST_PAUSE;
        loop {
            let (next, size) = last.unwrap_or((from, 0));
            let batch = batch.saturating_add(usize::from(last.is_some()));
            let read = self.read(
                stream,
                &room.subject,
                next,
                batch,
                BATCH_BYTES.saturating_add(size),
            );
            let Batch { messages, more } = read.await?;
            let before = seen;
            if let (Some(_), Some(first)) = (last, messages.first()) {
                // A removal is no loss.
                gapless &= first.sequence <= next || is_removal(&first.message);
            }
            for stored in messages {
                if stored.sequence <= seen {
                    continue;
                }
                seen = stored.sequence;
                last = Some((seen, stored.message.length));
                if visit(stored).is_break() {
                    return Ok(gapless);
                }
            }
            if seen >= head {
                return Ok(gapless);
            }
            if more && seen > before {
                continue;
            }
            head = self.leader_head(room).await?;
            if seen >= head {
                return Ok(gapless);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// `None` for markers and for what somebody else put there.
fn publication(stored: Stored) -> Option<Arc<Publication>> {
    let Stored {
        sequence, message, ..
    } = stored;
    if is_marker(&message) {
        return None;
    }
    match message::decode(&message, message.payload.clone()) {
        Ok(publication) => Some(Arc::new(Publication {
            offset: sequence,
            ..publication
        })),
        Err(error) => {
            warn!(sequence, %error, "passed over a message of a stream");
            None
        }
    }
}
