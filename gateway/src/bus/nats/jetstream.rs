//! Durable rooms on `JetStream`: what the bus builds on, without its policy of who subscribes when.
//!
//! A namespace with history is a few streams, its partitions. A publication is sent to the room's subject, stored by
//! the partition's stream, acknowledged, and published again by the stream to the room's live subject, where gateways
//! hear it at the speed of core NATS with its sequence in the headers: no consumer per room or client.
//!
//! | part | does |
//! |---|---|
//! | [`server_version`] | which servers this works with |
//! | [`streams`] | makes or checks the streams of a namespace |
//! | [`store`] | publishes and waits for the stream's answer |
//! | [`bodies`] | tells a repeat whose message is gone from another message |
//! | [`probe`] | tells when a live subscription counts, and the newest sequence at that moment |
//! | [`live`] | finds gaps in what arrives live |
//! | [`direct_get`] | reads messages in batches from any replica |
//! | [`history`] | pages and gap repair on top of it |
//! | [`removal`] | forgets a room's messages |
//! | [`bucket`] | what every gateway must know, as a key-value bucket |
//!
//! Neither the client's `JetStream` context nor its request function is used. The context waits inside `publish`,
//! which would lose the order of calls, has no batched reads, and drops stream settings that it does not know when it
//! updates a stream. One wildcard inbox ([`requests`]) carries every answer instead. Questions leave through the client, but
//! those of [`probe`] through the link, behind the subscriptions that they vouch for ([`JetStream::beside`]).

mod api;
mod bodies;
mod bucket;
mod direct_get;
mod history;
mod live;
mod partition;
mod probe;
mod removal;
mod requests;
mod server_version;
mod store;
mod streams;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

pub(super) use self::{
    api::{CallError, STREAM_NAMES, Verb},
    direct_get::{messages_of, newest_of},
    history::{Missed, Range},
    live::{Arrival, Tracker, Verdict},
    partition::{Partition, StoredRoom},
    server_version::judge,
    streams::{ON_A_CLUSTER, StreamError, Streams},
};
use self::{bodies::Bodies, requests::Requests};
pub use self::{server_version::tested_servers, streams::DeletedStream};
use super::{Subjects, link::Link, refusals::Refusals};
use crate::bus::BusError;

/// Publications that may wait for their acknowledgement at once; more are refused as overload.
const IN_FLIGHT: usize = 4_096;

/// Bounds of every wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// One request and its answer.
    pub(super) request: Duration,
    /// Until a publication is acknowledged.
    pub(super) store: Duration,
    /// A page of history or the repair of a gap, which may take several requests.
    pub(super) history: Duration,
}

/// Handle to all of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct JetStream {
    client: Client,
    requests: Arc<Requests>,
    subjects: Subjects,
    limits: Limits,
    in_flight: Arc<Semaphore>,
    /// Whether streams are made and changed at all.
    manages_streams: bool,
    bodies: Arc<Bodies>,
    /// Names the bucket of revocations as it was found last.
    bucket_epoch: Arc<Mutex<Option<Arc<str>>>>,
}

impl JetStream {
    /// Everything is asked over `client`; `refusals` tells of questions that its user may not ask.
    pub(super) async fn start(
        client: Client,
        subjects: Subjects,
        limits: Limits,
        refusals: &Refusals,
    ) -> Result<Self, BusError> {
        let requests = timeout(limits.request, Requests::start(client.clone(), refusals))
            .await
            .map_err(|_| BusError::Timeout)??;
        Ok(Self {
            client,
            requests: Arc::new(requests),
            subjects,
            limits,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            manages_streams: true,
            bodies: Arc::default(),
            bucket_epoch: Arc::default(),
        })
    }

    /// The same for a user that may not make or change streams: they are checked.
    pub(super) fn managing_streams(self, manages_streams: bool) -> Self {
        Self {
            manages_streams,
            ..self
        }
    }

    /// The same, asked over `link`: for [`JetStream::head`], which vouches for the subscriptions there.
    pub(super) fn beside(&self, link: &Link, refusals: &Refusals) -> Self {
        Self {
            requests: Arc::new(Requests::over(link, &self.client.new_inbox(), refusals)),
            ..self.clone()
        }
    }
}
