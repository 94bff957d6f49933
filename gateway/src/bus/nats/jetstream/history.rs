//! Reading a room: pages for clients, and the repair of gaps.
//!
//! Direct reads are answered by any replica, and a replica may lag. So a read knows the sequence that it has to see and
//! goes on until it has seen it; whenever a replica ends too early the leader is asked whether that message still is.
//!
//! Eviction is silent: the stream just has no more of the room. That a position is still connected to what follows is
//! known only if the message at the position itself is still there, because the stream forgets a room's oldest messages
//! first. So a read starts *at* the position, which costs one message.
//!
//! A room without messages has the position that its stream had reached ([`JetStream::reached`]), where
//! the message is another room's. As long as that is there, nothing after it was too old; and as long as the room has
//! fewer messages than it may keep, none gave way to newer ones.

mod newest;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{
    JetStream,
    direct_get::{Batch, Stored},
    live::is_marker,
    partition::StoredRoom,
};
use crate::{
    bus::{BusError, nats::message},
    history::{Page, Position, Query},
    publication::Publication,
};

/// Messages and bytes of one request.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// Pause before a lagging replica is asked again; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What was read in order, and whether it is connected to where it should start.
#[derive(Default)]
struct Forward {
    publications: Vec<Arc<Publication>>,
    complete: bool,
    /// Messages that the room has from the start of the read on; `u64::MAX` when a removal comes first.
    stored: u64,
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

    /// Everything with `after` < sequence ≤ `until`, or `None` when some of it may be gone.
    pub(in crate::bus::nats) async fn read_range(
        &self,
        room: &StoredRoom,
        after: u64,
        until: u64,
    ) -> Result<Option<Vec<Arc<Publication>>>, BusError> {
        let read = self.forward(room, after, usize::MAX, until);
        let read = timeout(self.limits.history, read)
            .await
            .map_err(|_| BusError::Timeout)??;
        let mut publications = read.publications;
        publications.retain(|publication| publication.offset <= until);
        Ok(read.complete.then_some(publications))
    }

    /// What the stream has with `after` < sequence ≤ `until`.
    pub(in crate::bus::nats) async fn read_remaining(
        &self,
        room: &StoredRoom,
        after: u64,
        until: u64,
    ) -> Result<Vec<Arc<Publication>>, BusError> {
        let mut publications = Vec::new();
        let read = self.scan(room, after + 1, BATCH, until, |stored| {
            if stored.sequence > until {
                return ControlFlow::Break(());
            }
            publications.extend(publication(stored));
            ControlFlow::Continue(())
        });
        timeout(self.limits.history, read)
            .await
            .map_err(|_| BusError::Timeout)??;
        Ok(publications)
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
            } => Forward {
                publications: self.newest(room, *since, *limit, head).await?,
                ..Forward::nothing()
            },
            Query {
                since: Some(since), ..
            } if *since > head => Forward {
                complete: self.is_of_another_room(room, *since).await?,
                ..Forward::default()
            },
            Query {
                since: Some(since), ..
            } if *since == head && head > 0 => Forward::nothing(),
            Query {
                since: Some(0),
                limit,
                ..
            } => self.since_the_start(room, *limit, head).await?,
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
            } => self.since(room, *since, *limit, head).await?,
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
        })
    }

    /// From the room's first message on. There is no message at 0 to start from; that nothing was ever evicted is
    /// known only as long as the stream still has its very first message.
    async fn since_the_start(&self, room: &StoredRoom, limit: usize, head: u64) -> Result<Forward, BusError> {
        let mut read = self.forward(room, 0, limit, head).await?;
        let stream = self.stream_info(&room.partition.stream).await?;
        read.complete &= stream.is_some_and(|info| info.state.first_seq <= 1 && read.stored < info.size());
        Ok(read)
    }

    /// From a position on, which may be one of a time when the room had no messages.
    async fn since(
        &self,
        room: &StoredRoom,
        since: u64,
        limit: usize,
        head: u64,
    ) -> Result<Forward, BusError> {
        let mut read = self.forward(room, since, limit, head).await?;
        if !read.complete && read.stored < room.partition.size {
            read.complete = self.is_of_another_room(room, since).await?;
        }
        Ok(read)
    }

    /// Whether the stream still has the message with this sequence, and it is another room's.
    async fn is_of_another_room(&self, room: &StoredRoom, sequence: u64) -> Result<bool, BusError> {
        let found = self.message(&room.partition.stream, sequence).await?;
        Ok(found.is_some_and(|stored| stored.subject() != Some(room.subject.as_str())))
    }

    /// Publications after `since`, at most `limit`. Complete when the message at `since` was there; from 0 on, when
    /// the room has not reached the size at which its oldest messages go.
    async fn forward(
        &self,
        room: &StoredRoom,
        since: u64,
        limit: usize,
        head: u64,
    ) -> Result<Forward, BusError> {
        let mut publications = Vec::new();
        let mut complete = since == 0;
        let mut first = true;
        let mut stored_after = 0;
        let batch = limit.saturating_add(1).min(BATCH);
        self.scan(room, since, batch, head, |stored| {
            if first {
                stored_after = if is_marker(&stored.message) {
                    u64::MAX
                } else {
                    stored.pending.saturating_add(1)
                };
                complete &= stored_after < room.partition.size;
            }
            first = false;
            if stored.sequence == since {
                complete = true;
            } else if publications.len() < limit {
                publications.extend(publication(stored));
            }
            if publications.len() >= limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await?;
        Ok(Forward {
            publications,
            complete,
            stored: stored_after,
        })
    }

    /// Shows `visit` every message of the room from `from` on, until it breaks or the message `head` was seen, or the
    /// leader says that there is no such message any more.
    async fn scan(
        &self,
        room: &StoredRoom,
        from: u64,
        batch: usize,
        mut head: u64,
        mut visit: impl FnMut(Stored) -> ControlFlow<()> + Send,
    ) -> Result<(), BusError> {
        let stream = &room.partition.stream;
        let mut next = from;
        let mut seen = from.saturating_sub(1);
        let mut pause = FIRST_PAUSE;
        loop {
            let Batch { messages, more } = self.read(stream, &room.subject, next, batch, BATCH_BYTES).await?;
            let progress = !messages.is_empty();
            for stored in messages {
                seen = stored.sequence;
                if visit(stored).is_break() {
                    return Ok(());
                }
            }
            if seen >= head {
                return Ok(());
            }
            next = seen + 1;
            if more && progress {
                continue;
            }
            head = self.leader_head(room).await?;
            if seen >= head {
                return Ok(());
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
    match message::decode(message) {
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
