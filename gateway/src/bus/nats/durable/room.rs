//! The deliveries of one live durable room: in order, each once, without gaps that could be filled.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::Message;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

use super::{Durable, StoredRoom};
use crate::{
    bus::{
        BusError,
        nats::{
            jetstream::{Arrival, Tracker, Verdict},
            message,
            subscription::RoomSubscription,
        },
    },
    channel::Channel,
    history::{Epoch, HistoryPolicy, Position},
    publication::Publication,
};

/// Pause before a worker that was full is tried again.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(5);
/// How long a worker may be full before its room's deliveries are given up, and recovered by the clients.
const OVERLOADED_LIMIT: Duration = Duration::from_secs(10);
/// Pauses between tries to read a gap while the stream does not answer.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct LiveRoom {
    pub(super) channel: Channel,
    pub(super) policy: Arc<HistoryPolicy>,
    stored: Mutex<StoredRoom>,
    /// Sequence of the newest publication that was delivered.
    pub(super) position: AtomicU64,
    /// Its position when it was subscribed.
    began_at: AtomicU64,
    /// Wakes the task to compare its position with the stream's head.
    check: Notify,
    task: OnceLock<AbortHandle>,
}

/// Where deliveries begin.
#[derive(Clone, Copy)]
pub(super) struct Beginning {
    /// Sequence of the room's newest message, 0 when it has none.
    pub(super) head: u64,
    /// What its stream had reached before.
    pub(super) reached: u64,
}

impl Beginning {
    /// The position of the room. One without messages is told where its stream is: 0 would be the same position again
    /// when messages have come and gone, and who has it would seem to have missed none.
    pub(super) fn position(self) -> u64 {
        if self.head > 0 { self.head } else { self.reached }
    }
}

/// The task's own side.
struct Deliveries {
    durable: Arc<Durable>,
    room: Arc<LiveRoom>,
    tracker: Tracker,
    epoch: Epoch,
}

impl LiveRoom {
    pub(super) fn start(
        durable: &Arc<Durable>,
        channel: Channel,
        policy: Arc<HistoryPolicy>,
        stored: StoredRoom,
        subscription: RoomSubscription,
        beginning: Beginning,
    ) -> Arc<Self> {
        let epoch = stored.partition.epoch.clone();
        let room = Arc::new(Self {
            channel,
            policy,
            stored: Mutex::new(stored),
            position: AtomicU64::new(beginning.head),
            began_at: AtomicU64::new(beginning.position()),
            check: Notify::new(),
            task: OnceLock::new(),
        });
        let deliveries = Deliveries {
            durable: durable.clone(),
            room: room.clone(),
            tracker: Tracker::new(beginning.head),
            epoch,
        };
        let task = durable.runtime.spawn(deliveries.run(subscription));
        // Set once, here.
        let _ = room.task.set(task.abort_handle());
        room
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    pub(super) fn stored(&self) -> StoredRoom {
        self.stored.lock().clone()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.stored.lock().partition.epoch.clone()
    }

    /// The position that its members know at least.
    pub(super) fn known(&self) -> u64 {
        let position = self.position.load(Ordering::Acquire);
        position.max(self.began_at.load(Ordering::Acquire))
    }

    /// The room is in another stream now; its task finds out at the next check.
    pub(super) fn move_to(&self, stored: StoredRoom) {
        *self.stored.lock() = stored;
        self.check.notify_one();
    }

    pub(super) fn check(&self) {
        self.check.notify_one();
    }
}

/// The room is in another stream now: what came of the former one means nothing any more.
#[derive(PartialEq, Eq)]
struct Moved;

impl Deliveries {
    async fn run(mut self, mut subscription: RoomSubscription) {
        loop {
            let result = tokio::select! {
                message = subscription.next() => match message {
                    Some(message) => self.arrived(message).await,
                    None => return,
                },
                // What happens now and then is boxed: a task is as large as the largest thing that it may wait for.
                () = self.room.check.notified() => Box::pin(self.compare(&mut subscription)).await,
            };
            if result == Err(Moved) {
                Box::pin(self.begin_again(&mut subscription)).await;
            }
            self.room
                .position
                .store(self.tracker.position(), Ordering::Release);
        }
    }

    fn check_stream(&self) -> Result<(), Moved> {
        if self.room.epoch() == self.epoch {
            Ok(())
        } else {
            Err(Moved)
        }
    }

    async fn arrived(&mut self, message: Message) -> Result<(), Moved> {
        let Some(arrival) = Arrival::read(&message) else {
            self.durable.shared.metrics.error("no_stream_message");
            return Ok(());
        };
        self.check_stream()?;
        let mut checked = false;
        loop {
            match self.tracker.observe(arrival) {
                // The check has read it, but for a marker.
                Verdict::Old if checked && arrival.marker => break,
                Verdict::Old if checked => return Ok(()),
                Verdict::Old => {
                    // Read from the stream before it came; or the stream was made again, and counts from 1.
                    self.durable.shared.suspicion.notify_one();
                    return Ok(());
                }
                Verdict::Next => break,
                Verdict::Gap { after, until } => Box::pin(self.fill(after, until, true)).await?,
                Verdict::Check { after, until } => {
                    Box::pin(self.fill(after, until, false)).await?;
                    checked = true;
                }
            }
        }
        if arrival.marker {
            self.durable.shared.events.removed(&self.room.channel);
            return Ok(());
        }
        match message::decode(message) {
            Ok(mut publication) => {
                publication.offset = arrival.sequence;
                self.deliver(publication).await;
            }
            Err(error) => {
                self.durable.shared.metrics.error("undecodable");
                warn!(channel = %self.room.channel, %error, "dropped a message of the bus");
            }
        }
        Ok(())
    }

    /// Asks for the head of a room when it is its turn.
    async fn head(&self, stored: &StoredRoom) -> Result<u64, BusError> {
        let shared = &self.durable.shared;
        let deadline = Instant::now() + shared.config.join_timeout;
        let _turn = shared.admission.turn(deadline).await?;
        self.durable.jetstream.head(stored).await
    }

    async fn beginning(&self, stored: &StoredRoom) -> Result<Beginning, BusError> {
        let reached = self.durable.jetstream.reached(&stored.partition).await?;
        let head = self.head(stored).await?;
        Ok(Beginning { head, reached })
    }

    /// Looks whether the newest message was missed: nothing after it would tell.
    async fn compare(&mut self, subscription: &mut RoomSubscription) -> Result<(), Moved> {
        self.check_stream()?;
        let head = match self.head(&self.room.stored()).await {
            Ok(head) => head,
            Err(error) => {
                debug!(channel = %self.room.channel, %error, "could not look at the head of a room");
                return Ok(());
            }
        };
        // What was sent before the answer waits here: only what does not is missing.
        if head < self.tracker.position() {
            self.durable.shared.suspicion.notify_one();
        }
        while self.tracker.position() < head
            && let Some(message) = subscription.waiting()
        {
            self.arrived(message).await?;
        }
        if self.tracker.position() < head {
            self.fill(self.tracker.position(), head, true).await?;
        }
        Ok(())
    }

    /// Delivers what the stream has with `after` < sequence ≤ `until`, however long the stream takes to answer.
    /// `strict`: what is missing there is lost, and clients are told.
    async fn fill(&mut self, after: u64, until: u64, strict: bool) -> Result<(), Moved> {
        self.durable.shared.metrics.error("gap");
        let mut pause = RETRY;
        let read = loop {
            match self.read(after, until, strict).await {
                Ok(read) => break read,
                Err(error) => debug!(channel = %self.room.channel, %error, "could not fill a gap yet"),
            }
            self.check_stream()?;
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_LIMIT);
        };
        self.check_stream()?;
        let Some(publications) = read else {
            self.lose(until);
            return Ok(());
        };
        for publication in publications {
            if publication.offset > self.tracker.position() {
                self.tracker.advance(publication.offset);
                self.deliver((*publication).clone()).await;
            }
        }
        self.tracker.advance(until);
        Ok(())
    }

    /// `None` when some of it is gone and that matters.
    async fn read(
        &self,
        after: u64,
        until: u64,
        strict: bool,
    ) -> Result<Option<Vec<Arc<Publication>>>, BusError> {
        let (jetstream, room) = (&self.durable.jetstream, self.room.stored());
        if strict {
            jetstream.read_range(&room, after, until).await
        } else {
            jetstream.read_remaining(&room, after, until).await.map(Some)
        }
    }

    /// Hands a publication to the gateway; a full worker is waited for, while the subscription queues.
    async fn deliver(&mut self, publication: Publication) {
        let began = Instant::now();
        let events = &self.durable.shared.events;
        while events
            .publication(&self.room.channel, publication.clone())
            .is_err()
        {
            if began.elapsed() > OVERLOADED_LIMIT {
                self.durable.shared.metrics.error("worker_overloaded");
                return self.lose(publication.offset);
            }
            sleep(OVERLOADED_PAUSE).await;
        }
        self.room.position.store(publication.offset, Ordering::Release);
    }

    /// Goes on after `offset`; clients are told that something before it is missing.
    fn lose(&mut self, offset: u64) {
        self.tracker.advance(offset);
        self.tell_lost(offset);
    }

    fn tell_lost(&self, offset: u64) {
        let position = Position {
            epoch: self.epoch.clone(),
            offset,
        };
        self.durable.shared.events.lost(&self.room.channel, position);
    }

    /// The room's stream was made again: nothing of the former one counts.
    async fn begin_again(&mut self, subscription: &mut RoomSubscription) {
        // Whatever waits is older than the head that is asked for now.
        while subscription.waiting().is_some() {}
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
        self.tracker = Tracker::new(beginning.head);
        self.epoch = stored.partition.epoch.clone();
        let position = beginning.position();
        self.room.began_at.store(position, Ordering::Release);
        self.tell_lost(position);
    }
}
