//! What a durable room has to wait for: gaps are read from the stream, heads compared, full workers waited for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{Arrived, Beginning, Course, LiveRoom, StoredRoom, Task};
use crate::{
    bus::{
        BusError,
        nats::jetstream::{Missed, Range, Tracker, Verdict},
    },
    publication::Publication,
};

/// Pause before a worker that was full is tried again.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(5);
/// How long a worker may be full before its room's deliveries are given up, and recovered by the clients.
const OVERLOADED_LIMIT: Duration = Duration::from_secs(10);
/// Pauses between tries to read a gap while the stream does not answer.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_LIMIT: Duration = Duration::from_secs(2);
/// How long a gap may be unreadable while the bus is up, in store timeouts: a minute by default.
const UNREAD_STORE_TIMEOUTS: u32 = 12;

/// The task of a room, which has its course.
pub(super) struct Deliveries {
    room: Arc<LiveRoom>,
    course: Course,
}

/// The room is in another stream now: what came of the former one means nothing any more.
#[derive(PartialEq, Eq)]
struct Moved;

impl Deliveries {
    pub(super) fn new(room: Arc<LiveRoom>, course: Course) -> Self {
        Self { room, course }
    }

    /// Runs until nothing waits any more.
    pub(super) async fn run(mut self) {
        while let Some(task) = self.room.next_task(&self.course) {
            let result = match task {
                Task::Compare => self.compare().await,
                Task::Take(arrived) => self.arrived(arrived).await,
            };
            if result == Err(Moved) {
                self.begin_again().await;
            }
            self.room
                .position
                .store(self.course.tracker.position(), Ordering::Release);
        }
    }
    fn check_stream(&self) -> Result<(), Moved> {
        if self.room.epoch() == self.course.partition.epoch {
            Ok(())
        } else {
            Err(Moved)
        }
    }

    async fn arrived(&mut self, arrived: Arrived) -> Result<(), Moved> {
        let Arrived { arrival, publication } = arrived;
        self.check_stream()?;
        let mut checked = false;
        loop {
            match self.course.tracker.observe(arrival) {
                // The check has read it.
                Verdict::Old if checked => return Ok(()),
                Verdict::Old => {
                    // Read from the stream before it came; or the stream was made again, and counts from 1.
                    self.room.durable.shared.suspicion.notify_one();
                    return Ok(());
                }
                Verdict::Next => break,
                Verdict::Gap { after, until } => {
                    if !self.fill(after, until, true).await? {
                        return Ok(());
                    }
                }
                Verdict::Check { after, until } => {
                    if !self.fill(after, until, false).await? {
                        return Ok(());
                    }
                    checked = true;
                }
            }
        }
        self.room.passed(&self.course.partition, arrival);
        if let Some(publication) = publication {
            self.deliver(publication).await;
        }
        Ok(())
    }

    /// Asks for the head of a room when it is its turn.
    async fn head(&self, stored: &StoredRoom) -> Result<u64, BusError> {
        let shared = &self.room.durable.shared;
        let deadline = Instant::now() + shared.config.join_timeout;
        let _turn = shared.admission.turn(deadline).await?;
        self.room.durable.beside.head(stored).await
    }

    async fn beginning(&self, stored: &StoredRoom) -> Result<Beginning, BusError> {
        let reached = self.room.durable.jetstream.reached(&stored.partition).await?;
        let head = self.head(stored).await?;
        Ok(Beginning { head, reached })
    }

    /// Looks whether the newest message was missed: nothing after it would tell.
    async fn compare(&mut self) -> Result<(), Moved> {
        self.check_stream()?;
        let head = match self.head(&self.room.stored()).await {
            Ok(head) => head,
            Err(error) => {
                debug!(channel = %self.room.channel, %error, "could not look at the head of a room");
                return Ok(());
            }
        };
        // What was sent before the answer waits here: only what does not is missing.
        // 0 is nothing special: the room's messages may all be gone by age.
        if 0 < head && head < self.course.tracker.position() {
            self.room.durable.shared.suspicion.notify_one();
        }
        while self.course.tracker.position() < head
            && let Some(arrived) = self.room.next_waiting()
        {
            self.arrived(arrived).await?;
        }
        if self.course.tracker.position() < head {
            self.fill(self.course.tracker.position(), head, true).await?;
        }
        Ok(())
    }

    /// Delivers what the stream has with `after` < sequence ≤ `until`. `strict`: what is missing there is lost, and clients
    /// are told; as they are when the stream does not answer for long. False when the stream has not come to `until`
    /// yet: what named it is not of this stream.
    async fn fill(&mut self, after: u64, until: u64, strict: bool) -> Result<bool, Moved> {
        self.room.durable.shared.metrics.error("gap");
        // Before the first message of a room there is only where its stream was.
        let after = match after {
            0 => self.room.began_at.load(Ordering::Acquire),
            after => after,
        };
        let mut pause = RETRY;
        let mut limit = self.unread_limit();
        let range = loop {
            match self.read(after, until, strict).await {
                Ok(range) => break range,
                Err(error) => debug!(channel = %self.room.channel, %error, "could not fill a gap yet"),
            }
            self.check_stream()?;
            if !self.room.durable.shared.is_up() {
                // Everything waits for the bus, and is caught up with when it is back.
                limit = self.unread_limit();
            } else if Instant::now() > limit {
                warn!(channel = %self.room.channel, after, until, "gave up a gap that cannot be read");
                self.room.durable.shared.metrics.error("gap_unreadable");
                self.lose(until);
                return Ok(true);
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_LIMIT);
        };
        self.check_stream()?;
        let Some(range) = range else {
            self.room.durable.shared.suspicion.notify_one();
            return Ok(false);
        };
        if !range.complete {
            self.lose(until);
            return Ok(true);
        }
        for missed in range.missed {
            match missed {
                Missed::Publication(publication) if publication.offset > self.course.tracker.position() => {
                    self.course.tracker.advance(publication.offset);
                    self.deliver((*publication).clone()).await;
                }
                Missed::Removal(sequence) if sequence > self.course.tracker.position() => {
                    self.course.tracker.advance(sequence);
                    self.room.removed();
                }
                Missed::Publication(_) | Missed::Removal(_) => {}
            }
        }
        self.course.tracker.advance(until);
        Ok(true)
    }

    /// When a gap that cannot be read is given up.
    fn unread_limit(&self) -> Instant {
        Instant::now() + self.room.durable.shared.config.store_timeout * UNREAD_STORE_TIMEOUTS
    }

    /// `None` when the stream has not come to `until`.
    async fn read(&self, after: u64, until: u64, strict: bool) -> Result<Option<Range>, BusError> {
        let (jetstream, room) = (&self.room.durable.jetstream, self.room.stored());
        let range = jetstream.read_range(&room, after, until, strict).await?;
        if range.reached || jetstream.newest_sequence(&room.partition).await? >= until {
            return Ok(Some(range));
        }
        Ok(None)
    }

    /// Hands a publication to the gateway; a full worker is waited for, while the subscription queues.
    async fn deliver(&mut self, publication: Publication) {
        let began = Instant::now();
        let events = &self.room.durable.shared.events;
        while !self.room.has_ended()
            && events
                .publication(&self.room.channel, publication.clone())
                .is_err()
        {
            if began.elapsed() > OVERLOADED_LIMIT {
                self.room.durable.shared.metrics.error("worker_overloaded");
                return self.lose(publication.offset);
            }
            sleep(OVERLOADED_PAUSE).await;
        }
        self.room.position.store(publication.offset, Ordering::Release);
    }

    /// Goes on after `offset`; clients are told that something before it is missing.
    fn lose(&mut self, offset: u64) {
        self.course.tracker.advance(offset);
        self.room.tell_lost(self.course.partition.epoch.clone(), offset);
    }

    /// The room's stream was made again: nothing of the former one counts.
    async fn begin_again(&mut self) {
        // Most of what waits is of the former stream. What follows it shows as beyond the new one's end.
        while self.room.next_waiting().is_some() {}
        let stored = self.room.stored();
        let mut pause = RETRY;
        let beginning = loop {
            match self.beginning(&stored).await {
                Ok(beginning) => break beginning,
                Err(error) => {
                    debug!(channel = %self.room.channel, %error, "the new stream does not answer yet");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_LIMIT);
        };
        self.course.tracker = Tracker::new(beginning.head);
        self.course.partition = stored.partition;
        let position = beginning.position();
        self.room.began_at.store(position, Ordering::Release);
        self.room.tell_lost(self.course.partition.epoch.clone(), position);
    }
}
