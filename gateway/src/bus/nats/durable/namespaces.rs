//! The streams of every durable namespace: made as soon as the configuration names it, found by its rooms, and looked at
//! again.
//!
//! What cannot be used is said once in the log, all the time in `/readyz` and by a metric; rooms of other namespaces do
//! not notice. A namespace that failed is tried again by its next use, but not for each of a crowd that comes back.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};
use tracing::{error, info, warn};

use super::Durable;
use crate::{
    bus::{
        BusError, ServerSupport,
        nats::{
            Shared,
            jetstream::{StoredRoom, StreamError, Streams, judge},
        },
    },
    history::HistoryPolicy,
    metrics::BusMetrics,
};

/// Namespaces whose streams are made or looked at at the same time.
const AT_ONCE: usize = 8;
/// How long a namespace that cannot be used is not tried again.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

pub(super) struct Namespaces {
    entries: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
    at_once: Semaphore,
}

pub(super) struct Entry {
    policy: Arc<HistoryPolicy>,
    streams: Mutex<Option<Arc<Streams>>>,
    failed: Mutex<Option<(Instant, BusError)>>,
    /// Held while its streams are made, so that what waits for them goes on in its order.
    making: tokio::sync::Mutex<()>,
    /// Publications that wait for the streams: later ones must not overtake them.
    waiting: AtomicUsize,
}

/// Where a publication goes.
pub(super) enum Place {
    Ready(StoredRoom),
    /// The streams are to be made first.
    Waiting(Waiting),
}

/// A publication that waits; as long as one does, all that come after it wait as well.
pub(super) struct Waiting(Arc<Entry>);

impl Waiting {
    fn new(entry: Arc<Entry>) -> Self {
        entry.waiting.fetch_add(1, Ordering::AcqRel);
        Self(entry)
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Entry {
    fn new(policy: Arc<HistoryPolicy>) -> Arc<Self> {
        Arc::new(Self {
            policy,
            streams: Mutex::default(),
            failed: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    fn streams(&self) -> Option<Arc<Streams>> {
        self.streams.lock().clone()
    }

    fn recent_failure(&self) -> Option<BusError> {
        let failed = *self.failed.lock();
        failed
            .filter(|(at, _)| at.elapsed() < FAILURE_HOLDS)
            .map(|(_, error)| error)
    }
}

impl Namespaces {
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    /// Names those that are not looked after yet.
    pub(super) fn new_among(&self, policies: &[Arc<HistoryPolicy>]) -> Vec<String> {
        let entries = self.entries.lock();
        let new = policies
            .iter()
            .filter(|policy| !entries.contains_key(&policy.namespace));
        new.map(|policy| policy.namespace.to_string()).collect()
    }

    /// Replaces the namespaces that are looked after; what is known of those that stay is kept.
    pub(super) fn replace(&self, policies: Vec<Arc<HistoryPolicy>>, metrics: &BusMetrics) {
        let mut entries = self.entries.lock();
        let wanted: HashSet<_> = policies.iter().map(|policy| policy.namespace.clone()).collect();
        entries.retain(|namespace, _| {
            let stays = wanted.contains(namespace);
            if !stays {
                metrics.forget_streams(namespace);
            }
            stays
        });
        for policy in policies {
            entries.entry(policy.namespace.clone()).or_insert_with(|| {
                metrics.streams(&policy.namespace, false);
                Entry::new(policy)
            });
        }
    }

    /// The room's stream, when its namespace is ready.
    pub(super) fn room(&self, channel: &str, policy: &HistoryPolicy) -> Option<StoredRoom> {
        let entries = self.entries.lock();
        let streams = entries.get(&policy.namespace)?.streams.lock();
        streams.as_ref().map(|streams| streams.room(channel))
    }

    /// Where a publication in this room goes.
    pub(super) fn place(&self, channel: &str, policy: &HistoryPolicy) -> Result<Place, BusError> {
        let entry = self.entry(policy)?;
        if entry.waiting.load(Ordering::Acquire) == 0
            && let Some(streams) = entry.streams()
        {
            return Ok(Place::Ready(streams.room(channel)));
        }
        Ok(Place::Waiting(Waiting::new(entry)))
    }

    /// A namespace that a reload has just taken away is not there any more, although somebody still uses it.
    fn entry(&self, policy: &HistoryPolicy) -> Result<Arc<Entry>, BusError> {
        let entries = self.entries.lock();
        entries
            .get(&policy.namespace)
            .cloned()
            .ok_or(BusError::Disconnected)
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().values().cloned().collect()
    }
}

impl Durable {
    /// The room's stream, made or checked when this is the first use of its namespace.
    pub(super) async fn stored_room(
        &self,
        channel: &str,
        policy: &HistoryPolicy,
    ) -> Result<StoredRoom, BusError> {
        if let Some(room) = self.namespaces.room(channel, policy) {
            return Ok(room);
        }
        let entry = self.namespaces.entry(policy)?;
        let streams = self.make(&entry).await?;
        Ok(streams.room(channel))
    }

    pub(super) async fn make(&self, entry: &Entry) -> Result<Arc<Streams>, BusError> {
        let _making = entry.making.lock().await;
        if let Some(streams) = entry.streams() {
            return Ok(streams);
        }
        if let Some(error) = entry.recent_failure() {
            return Err(error);
        }
        // Never closed.
        let _permit = self.namespaces.at_once.acquire().await;
        let streams = self.jetstream.ensure(&entry.policy).await;
        let streams = self.shared.report(entry, streams)?;
        info!(
            namespace = %entry.policy.namespace,
            partitions = streams.partitions().len(),
            "streams are ready"
        );
        *entry.streams.lock() = Some(streams.clone());
        Ok(streams)
    }

    /// Makes what is missing, compares the rest, and tells the rooms of streams that are new.
    pub(super) async fn look_at_streams(self: &Arc<Self>) {
        stream::iter(self.namespaces.all())
            .for_each_concurrent(AT_ONCE, |entry| async move {
                match entry.streams() {
                    Some(known) => self.look_again(&entry, &known).await,
                    // Reported where it failed.
                    None => drop(self.make(&entry).await),
                }
            })
            .await;
    }

    async fn look_again(&self, entry: &Entry, known: &Arc<Streams>) {
        let streams = self.jetstream.ensure_again(&entry.policy, known).await;
        let Ok(streams) = self.shared.report(entry, streams) else {
            return;
        };
        if streams.changed {
            // While it was different, live copies may not have come.
            self.shared.missed.notify_one();
        }
        if streams.doubtful {
            self.shared.suspicion.notify_one();
        }
        if streams.continues(known) {
            return;
        }
        let namespace = &entry.policy.namespace;
        *entry.streams.lock() = Some(streams.clone());
        warn!(%namespace, "streams count anew: rooms start afresh");
        let rooms = self.live_rooms();
        for room in rooms.iter().filter(|room| room.policy.namespace == *namespace) {
            room.move_to(streams.room(&room.channel));
        }
    }
}

impl Shared {
    /// Says what became of a namespace's streams: each failure once, until it is another one or over.
    fn report(
        &self,
        entry: &Entry,
        streams: Result<Arc<Streams>, StreamError>,
    ) -> Result<Arc<Streams>, BusError> {
        let namespace = &*entry.policy.namespace;
        match streams {
            Ok(streams) => {
                self.metrics.streams(namespace, true);
                *entry.failed.lock() = None;
                self.confirm(namespace, true);
                if self.condition.send_if_modified(|condition| {
                    let was_there = condition.problems.remove(namespace).is_some();
                    condition.settle();
                    was_there
                }) {
                    info!(namespace, "a durable namespace can be used again");
                }
                Ok(streams)
            }
            // The connection, or an answer that did not come: nothing is known of the streams.
            Err(StreamError::Bus(error)) => {
                *entry.failed.lock() = Some((Instant::now(), error));
                self.confirm(namespace, false);
                Err(error)
            }
            Err(problem) => {
                self.metrics.error("stream");
                self.metrics.streams(namespace, false);
                *entry.failed.lock() = Some((Instant::now(), BusError::Refused));
                let text = problem.to_string();
                if self.condition.send_if_modified(|condition| {
                    condition.problems.insert(namespace.to_owned(), text.clone()) != Some(text)
                }) {
                    error!(namespace, error = %problem, "a durable namespace cannot be used");
                }
                self.confirm(namespace, true);
                Err(BusError::Refused)
            }
        }
    }

    /// Whether `JetStream` answered for a namespace's streams, whatever it said.
    fn confirm(&self, namespace: &str, answered: bool) {
        self.condition.send_if_modified(|condition| {
            if answered {
                condition.unconfirmed.remove(namespace)
            } else {
                condition.unconfirmed.insert(namespace.to_owned())
            }
        });
    }

    /// These durable namespaces are looked after from now on, and no others; nothing is known of the `new` ones.
    pub(super) fn expect(&self, policies: &[Arc<HistoryPolicy>], new: Vec<String>) {
        let mut durability_changed = false;
        self.condition.send_modify(|condition| {
            let wanted = |name: &String| policies.iter().any(|policy| *policy.namespace == **name);
            condition.problems.retain(|name, _| wanted(name));
            condition.unconfirmed.retain(wanted);
            condition.unconfirmed.extend(new);
            condition.settle();
            durability_changed = condition.durable == policies.is_empty();
            condition.durable = !policies.is_empty();
        });
        if durability_changed {
            self.warn_of_server();
        }
    }

    /// Looks whether durable rooms work on a server of this version, and says so.
    pub(in crate::bus::nats) fn judge(&self, version: &str) {
        let judged = judge(version);
        self.metrics
            .server(version, judged.support == ServerSupport::Supported);
        let changed = self.condition.send_if_modified(|condition| {
            let judged = Some(judged);
            let changed = condition.server != judged;
            condition.server = judged;
            changed
        });
        if changed {
            self.warn_of_server();
        }
    }

    /// Where every room is ephemeral any version does.
    fn warn_of_server(&self) {
        let condition = self.condition.borrow();
        let message = condition
            .server
            .as_ref()
            .and_then(|server| server.message.as_deref());
        match message {
            Some(message) if condition.refuses() => error!("{message}"),
            Some(message) if condition.durable => warn!("{message}"),
            _ => {}
        }
    }
}
