//! Makes the streams and the bucket that gateways need, over a connection of its own and as a user that may do so: for gateways whose user
//! may not (`bus.nats.manage_streams: false`).

use std::{io, sync::Arc};

use async_nats::{Client, ConnectError, ConnectOptions, Event, ServerError};
use parking_lot::Mutex;

use super::{
    Subjects,
    credentials::{Login, NatsFiles, without_login},
    jetstream::{CallError, JetStream, Limits, StreamError},
    refusals::{Refusal, Refusals},
};
use crate::{
    bus::BusError,
    config::{BusSettings, NatsSettings},
    history::HistoryPolicy,
};

/// The streams of a namespace or of the bucket, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUpStreams {
    pub names: Vec<String>,
    /// Some were made or changed just now.
    pub changed: bool,
}

/// As what [`set_up`] tells of the bucket of revocations.
pub(super) const BUCKET: &str = "the bucket of revocations";

/// Why streams may be missing.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("cannot connect to NATS: {0}")]
    Connect(#[from] ConnectError),
    #[error("an address of a server: {0}")]
    Address(#[from] io::Error),
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Asking again is of no use.
    #[error("{0}")]
    Streams(String),
}

impl SetupError {
    /// Whether it may be over soon.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Streams(_) | Self::Address(_))
    }
}

/// Makes the bucket of revocations, and the streams of all these namespaces or brings them in line; those of one with
/// `stream.managed: false` are only checked. `done` is told of each namespace, and of the bucket of revocations. Safe to repeat.
pub async fn set_up(
    bus: &BusSettings,
    nats: &NatsSettings,
    policies: &[HistoryPolicy],
    mut done: impl FnMut(&str, &SetUpStreams),
) -> Result<(), SetupError> {
    let administration = Administration::connect(bus, nats, "natter-gateway setup-bus").await?;
    let ensured = administration.jetstream.ensure_bucket().await;
    let (stream, changed) = ensured.map_err(|error| administration.why(of_bucket(error)))?;
    done(
        BUCKET,
        &SetUpStreams {
            names: vec![stream],
            changed,
        },
    );
    for policy in policies {
        let ensured = administration.jetstream.ensure(policy).await;
        let streams = ensured.map_err(|error| administration.why(error))?;
        let partitions = streams.partitions().iter();
        let streams = SetUpStreams {
            names: partitions.map(|partition| partition.stream.clone()).collect(),
            changed: streams.changed,
        };
        done(&policy.namespace, &streams);
    }
    Ok(())
}

fn of_bucket(error: CallError) -> StreamError {
    match error {
        CallError::Bus(error) => StreamError::Bus(error),
        CallError::NoResponders => StreamError::NoJetStream,
        other => StreamError::Bucket(other.to_string()),
    }
}

/// A connection of whoever makes or deletes streams.
pub(super) struct Administration {
    pub(super) jetstream: JetStream,
    /// What NATS refused last.
    pub(super) refusal: Arc<Mutex<Option<String>>>,
}

impl Administration {
    /// `name` is shown by the server.
    pub(super) async fn connect(
        bus: &BusSettings,
        nats: &NatsSettings,
        name: &str,
    ) -> Result<Self, SetupError> {
        let subjects = Subjects::new(&bus.prefix);
        let refusals = Arc::<Refusals>::default();
        let refusal = Arc::<Mutex<Option<String>>>::default();
        let client = client(nats, &subjects, name, (refusals.clone(), refusal.clone())).await?;
        let limits = Limits {
            request: nats.request_timeout,
            store: nats.store_timeout,
            history: nats.store_timeout,
        };
        let jetstream = JetStream::start(client, subjects, limits, &refusals).await?;
        Ok(Self { jetstream, refusal })
    }

    /// Who may not subscribe its inbox gets no answers either.
    fn why(&self, error: StreamError) -> SetupError {
        match (error, self.refusal.lock().take()) {
            (StreamError::Bus(BusError::Timeout), Some(refusal)) => {
                SetupError::Streams(format!("NATS does not permit it: {refusal}"))
            }
            (StreamError::Bus(error), _) => SetupError::Bus(error),
            (other, _) => SetupError::Streams(other.to_string()),
        }
    }
}

async fn client(
    nats: &NatsSettings,
    subjects: &Subjects,
    name: &str,
    (refusals, refusal): (Arc<Refusals>, Arc<Mutex<Option<String>>>),
) -> Result<Client, SetupError> {
    let servers: Vec<_> = nats.servers.iter().map(|url| url.address().clone()).collect();
    let options: ConnectOptions = Login::new(&servers, NatsFiles::of(nats)).options();
    let options = options
        .name(name)
        .custom_inbox_prefix(subjects.admin_inbox())
        .ping_interval(nats.ping_interval)
        .connection_timeout(nats.request_timeout)
        .request_timeout(Some(nats.request_timeout))
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                *refusal.lock() = Some(error.to_string());
                if let ServerError::Other(text) = &error {
                    refusals.hear(&Refusal::read(text));
                }
            }
            std::future::ready(())
        });
    Ok(options.connect(without_login(&servers)?).await?)
}
