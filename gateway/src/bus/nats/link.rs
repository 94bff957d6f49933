//! The link: a connection to NATS that holds the subscriptions of rooms, and little else.
//!
//! `async-nats` gives each subscription a channel, and whoever reads it a task: 4.8 KiB a room before anything is said in
//! it. Here a subscription is an entry in a table; one loop reads, finds the subscription by its number and hands the
//! message to whoever takes it, on the spot. So a taker must not block, and what has to wait waits with the taker.
//! Publications, requests to `JetStream` and control messages stay with `async-nats`, on a connection of its own.
//!
//! **Two connections, perhaps to two servers of a cluster.** What has to follow a room's interest is said here:
//!
//! - the question of the join barrier, because its route is that of the SUBs before it. It is *answered* by the clients of
//!   `async-nats`, for it has to reach the servers at which gateways publish (`super::barrier`);
//! - the probe of a durable room, for the same reason; and its answer comes back here, because what the server sent before
//!   it is then known to have been taken before it (`super::jetstream`).
//!
//! What is said here keeps its order. A connection that is lost is made again, with a pause that grows; all
//! subscriptions are told to the new one before anything else, and [`Link::connection`] names it only after the server
//! has taken them. What is said while there is none is refused.
//!
//! | part | does |
//! |---|---|
//! | [`protocol`] | takes what the server says apart |
//! | [`delivery`] | a message where it was read |
//! | [`interests`] | subscriptions by number |
//! | [`desk`] | what is to be said, and what was confirmed |
//! | [`servers`], [`dial`], [`tls`] | where to connect, and how |
//! | [`session`] | one connection |

mod delivery;
mod desk;
mod dial;
mod interests;
mod protocol;
mod servers;
mod session;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::ServerAddr;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tracing::{Level, debug, warn};

pub(super) use self::{delivery::Delivery, desk::Outgoing};
use self::{desk::Desk, dial::LinkError, interests::Sid, servers::Servers};
use super::{credentials::Login, refusals::Refusals};
use crate::{bus::BusError, metrics::BusMetrics, telemetry::LogBudget};

/// Takes what a subscription brings.
pub(super) trait Taker: Send + Sync {
    /// Called in the order of arrival, one at a time. Everything that is read waits for it.
    fn take(self: Arc<Self>, delivery: &Delivery<'_>);
}

pub(super) struct LinkConfig {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) login: Login,
    /// Connection name shown by the server.
    pub(super) name: String,
    pub(super) ping_interval: Duration,
    /// Bound of one attempt at one address.
    pub(super) connect_timeout: Duration,
    /// The pause before an attempt, by how many there were since the last connection.
    pub(super) pause: fn(usize) -> Duration,
    /// Counts whenever a connection is there or gone.
    pub(super) changed: watch::Sender<u64>,
    pub(super) metrics: BusMetrics,
    pub(super) log_budget: Arc<LogBudget>,
    /// Is told what the server does not permit.
    pub(super) refusals: Arc<Refusals>,
}

/// Handle to the connection, which lasts as long as the process. Clones share it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    config: LinkConfig,
    servers: Mutex<Servers>,
    desk: Mutex<Desk>,
    /// There is something to write.
    wake: Notify,
    /// How often the server has had too many subscriptions.
    too_many: AtomicU64,
}

/// A subscription; dropping it sends UNSUB.
pub(super) struct Subscription {
    link: Arc<Inner>,
    sid: Sid,
    /// Refusals without a subject before it.
    too_many: u64,
}

impl Link {
    /// Begins to connect.
    pub(super) fn start(config: LinkConfig) -> Self {
        let inner = Arc::new(Inner {
            servers: Mutex::new(Servers::new(config.servers.clone())),
            config,
            desk: Mutex::default(),
            wake: Notify::new(),
            too_many: AtomicU64::new(0),
        });
        tokio::spawn(inner.clone().run());
        Self(inner)
    }

    /// Number of the connection that is there and knows all subscriptions.
    pub(super) fn connection(&self) -> Option<u64> {
        self.0.desk.lock().ready()
    }

    /// Says SUB, now or when there is a connection. Whether it counts yet is for a barrier or a probe to say.
    pub(super) fn subscribe(&self, subject: &str, taker: Arc<dyn Taker>) -> Subscription {
        let too_many = self.0.too_many.load(Ordering::Acquire);
        let sid = self.0.desk.lock().subscribe(subject, taker);
        self.0.wake.notify_one();
        Subscription {
            link: self.0.clone(),
            sid,
            too_many,
        }
    }

    /// Says a message, behind everything that was said before.
    pub(super) fn publish(&self, message: &Outgoing<'_>) -> Result<(), BusError> {
        self.0.desk.lock().publish(message)?;
        self.0.wake.notify_one();
        Ok(())
    }
}

impl Subscription {
    /// Whether the server has said so far that it does not take it. When it had too many it does not say which: then
    /// all are meant that were on their way.
    pub(super) fn is_refused(&self) -> bool {
        self.too_many != self.link.too_many.load(Ordering::Acquire)
            || self.link.desk.lock().interests().is_refused(self.sid)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let taker = self.link.desk.lock().unsubscribe(self.sid);
        self.link.wake.notify_one();
        drop(taker);
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        let mut attempts = 0;
        loop {
            let servers = self.servers.lock().shuffled();
            for server in servers {
                attempts += 1;
                sleep((self.config.pause)(attempts)).await;
                match self.config.dial(&server).await {
                    Ok(dialed) => {
                        attempts = 0;
                        self.servers.lock().discover(&dialed.info);
                        let error = session::run(&self, dialed).await;
                        self.failed(&error);
                        break;
                    }
                    Err(error) => self.failed(&error),
                }
            }
        }
    }

    fn failed(&self, error: &LinkError) {
        self.config.metrics.error("connection");
        let is_strange = matches!(
            error,
            LinkError::Tls(_)
                | LinkError::Malformed(_)
                | LinkError::Greeting
                | LinkError::Refused(_)
                | LinkError::Login(_)
        );
        if is_strange && self.config.log_budget.cause("nats_link", Level::WARN).admit() {
            warn!(%error, connection = %self.config.name, "no connection to NATS for rooms");
        } else {
            debug!(%error, connection = %self.config.name, "NATS connection");
        }
    }

    fn changed(&self) {
        self.config.changed.send_modify(|count| *count += 1);
    }

    fn too_many(&self) {
        self.too_many.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a server says in words.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
