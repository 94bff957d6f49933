//! The bus inside one process: the default of the one-command start.
//!
//! Durable rooms keep their history in memory: as long as the process lives, within size and age of the policy. A
//! restart begins every room anew, and the new epoch tells clients so.
//!
//! A store hands the publication to [`BusEvents`] under the lock of its room, before it appends it: deliveries come in
//! the order of offsets, a reader that waits for the lock finds all that was delivered, and what the gateway cannot
//! take is not stored. So `store`, `history` and `subscribe` must not be called under a lock that
//! [`BusEvents::publication`] takes; `unsubscribe`, which never waits for a room, may be.

mod idempotency;
mod keeping;
mod log;
mod logs;

use std::{future::ready, sync::Arc};

use bytes::Bytes;
use tokio::{sync::watch, task::AbortHandle};
use uuid::Uuid;

use self::{keeping::Keeping, logs::Logs};
use super::{BoxFuture, Bus, BusError, BusEvents, BusStatus, Changes, Keep, KeepError, Mark, Recipient};
use crate::{
    channel::Channel,
    history::{HistoryPolicy, Page, Position, Query, Receipt, StoreError},
    publication::Publication,
};

/// What one publication may carry, as NATS's default `max_payload`, so that moving to NATS refuses nothing new.
const MAX_MESSAGE_SIZE: usize = 1 << 20;

pub struct Embedded {
    node: Uuid,
    events: Arc<dyn BusEvents>,
    /// Never changes: it is always up.
    status: watch::Sender<BusStatus>,
    logs: Arc<Logs>,
    keeping: Keeping,
    sweep: AbortHandle,
}

impl Embedded {
    /// `node` is the identity of the gateway that `events` belongs to. Must be called on a runtime, which then sweeps the
    /// history.
    pub fn new(node: Uuid, events: Arc<dyn BusEvents>) -> Self {
        let logs = Arc::new(Logs::new());
        Self {
            node,
            events,
            status: watch::Sender::new(BusStatus::Up),
            keeping: Keeping::default(),
            sweep: tokio::spawn(logs::sweep(logs.clone())).abort_handle(),
            logs,
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.sweep.abort();
    }
}

/// What happens to stores on disks.
#[cfg(test)]
impl Embedded {
    pub(crate) fn set_back(&self, sequence: u64) {
        self.keeping.set_back(sequence);
    }

    pub(crate) fn purge(&self) {
        self.keeping.purge();
    }
}

impl Bus for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn publish(&self, channel: &str, publication: &Publication) -> Result<(), BusError> {
        check_size(publication)?;
        self.events
            .publication(channel, publication.clone())
            .map_err(|_| BusError::Overloaded)
    }

    fn store(
        &self,
        channel: &str,
        policy: &Arc<HistoryPolicy>,
        publication: &Publication,
        key: Option<&str>,
    ) -> BoxFuture<Result<Receipt, StoreError>> {
        let result = check_size(publication).map_err(StoreError::from).and_then(|()| {
            self.logs
                .store(channel, &policy.options, publication, key, |publication| {
                    self.events.publication(channel, publication)
                })
        });
        Box::pin(ready(result))
    }

    fn history(
        &self,
        channel: &str,
        _policy: &Arc<HistoryPolicy>,
        query: Query,
    ) -> BoxFuture<Result<Page, BusError>> {
        Box::pin(ready(Ok(self.logs.page(channel, &query))))
    }

    fn remove_history(&self, channel: &str, _policy: &Arc<HistoryPolicy>) -> BoxFuture<Result<(), BusError>> {
        self.logs.clear(channel);
        self.events.removed(channel);
        Box::pin(ready(Ok(())))
    }

    fn subscribe(
        &self,
        channel: Channel,
        policy: Option<Arc<HistoryPolicy>>,
    ) -> BoxFuture<Result<Option<Position>, BusError>> {
        let position = policy.map(|_| self.logs.subscribe(&channel));
        Box::pin(ready(Ok(position)))
    }

    /// It is never away, and brings the publications of all rooms.
    fn subscribe_later(&self, _channel: Channel) {}

    fn unsubscribe(&self, channel: &Channel) {
        self.logs.unsubscribe(channel);
    }

    fn send(&self, to: Recipient, message: Bytes) -> Result<(), BusError> {
        if to == Recipient::All || to == Recipient::Node(self.node) {
            self.events.control(message);
        }
        Ok(())
    }

    /// There are no others.
    fn announce(&self, _: &str, _: Option<&Arc<HistoryPolicy>>, _: Bytes) -> Result<(), BusError> {
        Ok(())
    }

    fn keep(&self, keep: Keep) -> BoxFuture<Result<Mark, KeepError>> {
        Box::pin(ready(Ok(self.keeping.keep(keep))))
    }

    fn changes(&self, since: Option<Mark>) -> BoxFuture<Result<Changes, KeepError>> {
        Box::pin(ready(Ok(self.keeping.changes(since.as_ref()))))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_up(&self) -> bool {
        true
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.status.subscribe()
    }

    fn max_message_size(&self) -> usize {
        MAX_MESSAGE_SIZE
    }

    fn server(&self) -> Option<String> {
        None
    }

    fn close(&self) -> BoxFuture<()> {
        Box::pin(ready(()))
    }
}

fn check_size(publication: &Publication) -> Result<(), BusError> {
    if publication.data.len() > MAX_MESSAGE_SIZE {
        return Err(BusError::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
