//! The streams of a namespace: made and kept in line by the gateway, or only checked when an administrator owns them.
//!
//! The number of partitions decides which stream a room is in, so it is fixed when the first stream is made: it stands
//! in that stream's metadata, and gateways that start together agree on it because only one of them makes that stream.
//! Another configured number is an error; the way to another number is another namespace.
//!
//! A gateway that starts brings its streams in line with its configuration and leaves a stamp of it in their metadata.
//! While it runs, a stream that carries its stamp and differs was changed by hand, and is set right again. One that carries
//! another stamp was brought in line by a gateway that started later with another configuration, in a roll for example: its
//! limits stay, and only what every gateway needs is restored. So the last start wins, and gateways do not fight.

mod error;
mod settings;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{sync::Mutex, time::Instant};
use tracing::info;

pub(in crate::bus::nats) use self::error::StreamError;
use self::settings::{Change, Wanted};
use super::{
    JetStream, Subjects,
    api::{ApiError, CallError, code},
    partition::{self, Partition, StoredRoom},
    server_version,
};
use crate::{
    bus::{BusError, ServerSupport},
    history::HistoryPolicy,
};

/// Partitions where the configuration names no number.
const ON_A_SINGLE_SERVER: u16 = 1;
const ON_A_CLUSTER: u16 = 4;

/// The streams of one namespace, ready for use.
#[derive(Debug)]
pub(in crate::bus::nats) struct Streams {
    namespace: Arc<str>,
    subjects: Subjects,
    partitions: Vec<Arc<Partition>>,
    /// Some of them were made or changed just now.
    pub(in crate::bus::nats) changed: bool,
}

impl Streams {
    pub(in crate::bus::nats) fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// Whether these are the very streams of before, whatever their settings.
    pub(in crate::bus::nats) fn continues(&self, before: &Self) -> bool {
        let epochs = |streams: &Self| -> Vec<_> {
            let partitions = streams.partitions.iter();
            partitions.map(|partition| partition.epoch.clone()).collect()
        };
        epochs(self) == epochs(before)
    }

    /// Configurations allow 64.
    fn count(&self) -> u16 {
        u16::try_from(self.partitions.len()).unwrap_or(u16::MAX)
    }

    /// Where a room of this namespace is stored.
    pub(in crate::bus::nats) fn room(&self, room: &str) -> StoredRoom {
        let number = partition::partition_of(room, self.count());
        StoredRoom {
            partition: self.partitions[usize::from(number)].clone(),
            subject: self.subjects.stored(&self.namespace, number, room),
            live: self.subjects.live(&self.namespace, number, room),
        }
    }
}

impl StreamInfo {
    /// Messages of one room that the stream keeps and always kept.
    pub(super) fn size(&self) -> u64 {
        settings::size(&self.config)
    }
}

/// What is read of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    config: Map<String, Value>,
    created: String,
    pub(super) state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    /// Oldest sequence that the stream still has.
    #[serde(default)]
    pub(super) first_seq: u64,
    /// Newest sequence that the stream ever gave.
    #[serde(default)]
    pub(super) last_seq: u64,
}

/// One run of [`JetStream::ensure`].
struct Ensure<'a> {
    jetstream: &'a JetStream,
    policy: &'a HistoryPolicy,
    /// Path of the namespace's history in the configuration.
    path: String,
    /// The number of partitions that the gateway already goes by; `None` at its first look.
    known: Option<u16>,
    changed: AtomicBool,
}

impl JetStream {
    /// Makes every stream of a namespace, or brings it in line. Safe to run in several gateways at once.
    pub(in crate::bus::nats) async fn ensure(
        &self,
        policy: &HistoryPolicy,
    ) -> Result<Arc<Streams>, StreamError> {
        self.ensure_with(policy, None).await
    }

    /// Makes what is missing since `known`, and sets right what was changed by hand.
    pub(in crate::bus::nats) async fn ensure_again(
        &self,
        policy: &HistoryPolicy,
        known: &Streams,
    ) -> Result<Arc<Streams>, StreamError> {
        self.ensure_with(policy, Some(known)).await
    }

    async fn ensure_with(
        &self,
        policy: &HistoryPolicy,
        known: Option<&Streams>,
    ) -> Result<Arc<Streams>, StreamError> {
        let server = self.requests.client().server_info();
        if server_version::judge(&server.version).support == ServerSupport::TooOld {
            return Err(StreamError::OldServer(server.version));
        }
        let ensure = Ensure {
            jetstream: self,
            policy,
            path: path_of(&policy.namespace),
            known: known.map(Streams::count),
            changed: AtomicBool::new(false),
        };
        let default = if server.cluster.is_some() {
            ON_A_CLUSTER
        } else {
            ensure.single_replica()?;
            ON_A_SINGLE_SERVER
        };
        let (count, first) = ensure.first(default).await?;
        let mut partitions = vec![Arc::new(first)];
        for number in 1..count {
            partitions.push(Arc::new(ensure.partition(number, count).await?));
        }
        Ok(Arc::new(Streams {
            namespace: policy.namespace.clone(),
            subjects: self.subjects.clone(),
            partitions,
            changed: ensure.changed.into_inner(),
        }))
    }

    pub(super) async fn stream_info(&self, stream: &str) -> Result<Option<StreamInfo>, CallError> {
        match self.call("STREAM.INFO", stream, &Value::Null).await {
            Ok(found) => Ok(Some(found)),
            Err(CallError::Api(error)) if error.number == code::STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn path_of(namespace: &str) -> String {
    match namespace {
        "default" => "rooms.default.history".to_owned(),
        named => format!("rooms.namespaces[{named}].history"),
    }
}

impl Ensure<'_> {
    fn option(&self, name: &str) -> String {
        format!("{}.stream.{name}", self.path)
    }

    fn name(&self, partition: u16) -> String {
        self.jetstream.subjects.stream(&self.policy.namespace, partition)
    }

    /// Some versions of a single server take a stream with more replicas than there are servers and keep one copy.
    fn single_replica(&self) -> Result<(), StreamError> {
        let wanted = &self.policy.options.stream;
        if !wanted.managed || wanted.replicas <= 1 {
            return Ok(());
        }
        Err(StreamError::Refused {
            stream: self.name(0),
            option: self.option("replicas"),
            reason: format!(
                "{} replicas need a cluster, and this is a single server",
                wanted.replicas
            ),
        })
    }

    /// The first partition, and how many there are.
    async fn first(&self, default: u16) -> Result<(u16, Partition), StreamError> {
        let configured = self.known.or(self.policy.options.stream.partitions);
        let stream = self.name(0);
        let found = self.info(&stream).await?;
        let count = match &found {
            Some(info) => self.count(&stream, info, configured)?,
            None => configured.unwrap_or(default),
        };
        match self.settle(0, count, found).await {
            // Another gateway was faster, with another number: its number holds.
            Err(StreamError::Partitions { found, .. }) if configured.is_none() => {
                let info = self.info(&stream).await?;
                Ok((found, self.settle(0, found, info).await?))
            }
            settled => Ok((count, settled?)),
        }
    }

    fn count(&self, stream: &str, info: &StreamInfo, configured: Option<u16>) -> Result<u16, StreamError> {
        match (settings::partitions(&info.config), configured) {
            (Some(found), Some(configured)) if found != configured => Err(StreamError::Partitions {
                stream: stream.to_owned(),
                found,
                configured,
                option: self.option("partitions"),
            }),
            (Some(found), _) => Ok(found),
            (None, Some(configured)) => Ok(configured),
            (None, None) => Err(StreamError::UnknownPartitions {
                stream: stream.to_owned(),
                option: self.option("partitions"),
            }),
        }
    }

    async fn partition(&self, number: u16, count: u16) -> Result<Partition, StreamError> {
        let found = self.info(&self.name(number)).await?;
        self.settle(number, count, found).await
    }

    /// Makes the stream, brings it in line, or says why it cannot be used.
    async fn settle(
        &self,
        number: u16,
        count: u16,
        found: Option<StreamInfo>,
    ) -> Result<Partition, StreamError> {
        let stream = self.name(number);
        let wanted = Wanted::new(self.policy, &self.jetstream.subjects, number, count);
        let info = match found {
            Some(info) => self.reconcile(&stream, &wanted, count, info).await?,
            None if self.policy.options.stream.managed => {
                let (made, info) = self.make(&stream, &wanted).await?;
                if made {
                    info
                } else {
                    self.reconcile(&stream, &wanted, count, info).await?
                }
            }
            None => {
                return Err(StreamError::Missing {
                    stream,
                    option: self.option("managed"),
                });
            }
        };
        Ok(Partition {
            number,
            epoch: partition::epoch(&stream, &info.created),
            size: settings::size(&info.config),
            reached: Mutex::new((Instant::now(), info.state.last_seq)),
            stream,
        })
    }

    /// The new stream, or the one that another gateway made meanwhile.
    async fn make(&self, stream: &str, wanted: &Wanted) -> Result<(bool, StreamInfo), StreamError> {
        match self.change("STREAM.CREATE", stream, wanted.config()).await {
            Ok(info) => {
                self.changed.store(true, Ordering::Relaxed);
                info!(stream, "made a stream");
                Ok((true, info))
            }
            Err(CallError::Api(error)) if error.number == code::NAME_IN_USE => {
                match self.info(stream).await? {
                    Some(info) => Ok((false, info)),
                    None => Err(self.refused(stream, &error)),
                }
            }
            Err(error) => Err(self.failed(stream, error)),
        }
    }

    async fn reconcile(
        &self,
        stream: &str,
        wanted: &Wanted,
        count: u16,
        info: StreamInfo,
    ) -> Result<StreamInfo, StreamError> {
        // Partitions of one namespace must agree, whoever owns them.
        if settings::partitions(&info.config).is_some_and(|found| found != count) {
            self.count(stream, &info, Some(count))?;
        }
        if !self.policy.options.stream.managed {
            return self.acceptable(stream, wanted.broken_promises(&info.config), info);
        }
        let change = if self.known.is_some() && wanted.is_superseded(&info.config) {
            wanted.repair(&info.config)
        } else {
            wanted.change(&info.config)
        };
        match change {
            Change::None => Ok(info),
            Change::Update { config, names } => {
                let info = self
                    .change("STREAM.UPDATE", stream, &config)
                    .await
                    .map_err(|error| self.failed(stream, error))?;
                self.changed.store(true, Ordering::Relaxed);
                info!(stream, settings = names.join(", "), "changed a stream's settings");
                Ok(info)
            }
            Change::Impossible(differences) => self.acceptable(stream, differences, info),
        }
    }

    fn acceptable(
        &self,
        stream: &str,
        differences: Vec<String>,
        info: StreamInfo,
    ) -> Result<StreamInfo, StreamError> {
        if differences.is_empty() {
            return Ok(info);
        }
        Err(StreamError::Differs {
            stream: stream.to_owned(),
            option: self.path.clone(),
            differences,
        })
    }

    async fn info(&self, stream: &str) -> Result<Option<StreamInfo>, StreamError> {
        self.jetstream
            .stream_info(stream)
            .await
            .map_err(|error| self.failed(stream, error))
    }

    async fn change(
        &self,
        verb: &str,
        stream: &str,
        config: &Map<String, Value>,
    ) -> Result<StreamInfo, CallError> {
        self.jetstream.call(verb, stream, &json!(config)).await
    }

    fn failed(&self, stream: &str, error: CallError) -> StreamError {
        match error {
            CallError::Bus(error) => StreamError::Bus(error),
            CallError::NoResponders => StreamError::NoJetStream,
            CallError::Unreadable => StreamError::Bus(BusError::Refused),
            CallError::Api(error) => self.refused(stream, &error),
        }
    }

    fn refused(&self, stream: &str, error: &ApiError) -> StreamError {
        match error.number {
            code::NOT_ENABLED | code::ACCOUNT_NOT_ENABLED => StreamError::NoJetStream,
            _ => StreamError::Refused {
                stream: stream.to_owned(),
                option: format!("{}.stream", self.path),
                reason: error.to_string(),
            },
        }
    }
}
