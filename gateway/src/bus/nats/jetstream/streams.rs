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
//!
//! A stream can lose its end and go on from a smaller sequence although it was not made again: in memory when its servers
//! restart, on a disk that was lost or not synced. Then offsets are given a second time. The gateway that sees it raises a
//! generation in the stream's metadata, which is part of the epoch, so that all gateways and clients begin anew.

mod deletion;
mod error;
mod settings;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::{info, warn};

pub use self::deletion::DeletedStream;
pub(in crate::bus::nats) use self::error::StreamError;
use self::settings::{Change, Wanted};
use super::{
    JetStream, Subjects,
    api::{ApiError, CallError, Verb, code},
    partition::{self, Partition, Progress, StoredRoom},
    server_version,
};
use crate::{
    bus::{BusError, ServerSupport},
    history::HistoryPolicy,
};

/// Partitions where the configuration names no number.
const ON_A_SINGLE_SERVER: u16 = 1;
pub(in crate::bus::nats) const ON_A_CLUSTER: u16 = 4;

/// The option that keeps the gateway from making any stream.
const MANAGE_STREAMS: &str = "bus.nats.manage_streams";

/// The streams of one namespace, ready for use.
#[derive(Debug)]
pub(in crate::bus::nats) struct Streams {
    namespace: Arc<str>,
    subjects: Subjects,
    partitions: Vec<Arc<Partition>>,
    /// Some of them were made or changed just now.
    pub(in crate::bus::nats) changed: bool,
    /// Some of them may have lost their end: another look tells.
    pub(in crate::bus::nats) doubtful: bool,
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

/// What is read of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: Map<String, Value>,
    pub(super) created: String,
    pub(super) state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    #[serde(default)]
    pub(super) messages: u64,
    /// The oldest sequence that is still there.
    #[serde(default)]
    pub(super) first_seq: u64,
    /// The newest sequence that the stream has given, whether or not that message is still there.
    #[serde(default)]
    pub(super) last_seq: u64,
    /// When the stream has given it, RFC 3339.
    #[serde(default)]
    pub(super) last_ts: String,
}

impl StreamState {
    /// It lacks none of its messages from the oldest to the newest.
    pub(super) fn is_whole(&self) -> bool {
        self.messages == self.last_seq.saturating_add(1).saturating_sub(self.first_seq)
    }
}

/// One run of [`JetStream::ensure`].
struct Ensure<'a> {
    jetstream: &'a JetStream,
    policy: &'a HistoryPolicy,
    /// Path of the namespace's history in the configuration.
    path: String,
    /// What the gateway already goes by; `None` at its first look.
    known: Option<&'a Streams>,
    changed: AtomicBool,
    doubtful: AtomicBool,
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
        let server = self.client.server_info();
        if server_version::judge(&server.version).support == ServerSupport::TooOld {
            return Err(StreamError::OldServer(server.version));
        }
        let ensure = Ensure {
            jetstream: self,
            policy,
            path: path_of(&policy.namespace),
            known,
            changed: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
        };
        let default = if server.cluster.is_some() {
            ON_A_CLUSTER
        } else {
            ensure.single_replica()?;
            ON_A_SINGLE_SERVER
        };
        let (count, first) = ensure.first(default).await?;
        let mut partitions = vec![first];
        for number in 1..count {
            partitions.push(ensure.partition(number, count).await?);
        }
        Ok(Arc::new(Streams {
            namespace: policy.namespace.clone(),
            subjects: self.subjects.clone(),
            partitions,
            changed: ensure.changed.into_inner(),
            doubtful: ensure.doubtful.into_inner(),
        }))
    }

    /// The newest sequence that a stream has given, to whatever room, as its leader knows it.
    pub(in crate::bus::nats) async fn newest_sequence(&self, partition: &Partition) -> Result<u64, BusError> {
        match self.stream_info(&partition.stream).await? {
            Some(info) => Ok(info.state.last_seq),
            None => Err(BusError::Disconnected),
        }
    }

    pub(super) async fn stream_info(&self, stream: &str) -> Result<Option<StreamInfo>, CallError> {
        match self.call(Verb::Info, stream, &Value::Null).await {
            Ok(found) => Ok(Some(found)),
            Err(CallError::Api(error)) if error.number == code::STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Metadata by which a stream beside the namespaces' is known as the gateways' own.
pub(super) fn made_by_a_gateway() -> Value {
    settings::made_by_a_gateway()
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

    /// Whether the gateway makes and changes the streams, and does not only check them.
    fn manages(&self) -> bool {
        self.jetstream.manages_streams && self.policy.options.stream.managed
    }

    fn name(&self, partition: u16) -> String {
        self.jetstream.subjects.stream(&self.policy.namespace, partition)
    }

    /// Some versions of a single server take a stream with more replicas than there are servers and keep one copy.
    fn single_replica(&self) -> Result<(), StreamError> {
        let wanted = &self.policy.options.stream;
        if !self.manages() || wanted.replicas <= 1 {
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
    async fn first(&self, default: u16) -> Result<(u16, Arc<Partition>), StreamError> {
        let configured = self
            .known
            .map(Streams::count)
            .or(self.policy.options.stream.partitions);
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

    async fn partition(&self, number: u16, count: u16) -> Result<Arc<Partition>, StreamError> {
        let found = self.info(&self.name(number)).await?;
        self.settle(number, count, found).await
    }

    /// Makes the stream, brings it in line, or says why it cannot be used.
    async fn settle(
        &self,
        number: u16,
        count: u16,
        found: Option<StreamInfo>,
    ) -> Result<Arc<Partition>, StreamError> {
        let stream = self.name(number);
        let wanted = Wanted::new(self.policy, &self.jetstream.subjects, number, count);
        let info = match found {
            Some(info) => self.reconcile(&stream, &wanted, count, info).await?,
            None if self.manages() => {
                let (made, info) = self.make(&stream, &wanted).await?;
                if made {
                    info
                } else {
                    self.reconcile(&stream, &wanted, count, info).await?
                }
            }
            None if self.policy.options.stream.managed => {
                return Err(StreamError::NotSetUp { stream });
            }
            None => {
                return Err(StreamError::Missing {
                    stream,
                    option: self.option("managed"),
                });
            }
        };
        self.settled(number, stream, info).await
    }

    /// The partition that the stream is, in its generation.
    async fn settled(
        &self,
        number: u16,
        stream: String,
        info: StreamInfo,
    ) -> Result<Arc<Partition>, StreamError> {
        let found = settings::generation(&info.config);
        let known = self
            .known
            .and_then(|known| known.partitions.get(usize::from(number)));
        let Some(known) = known.filter(|known| known.created == info.created && known.generation >= found)
        else {
            let newest = info.state.last_seq;
            return Ok(Arc::new(Partition::new(stream, info.created, found, newest)));
        };
        // Asked again: what was seen while the stream was looked at counts, and the answer must be later.
        let seen = known.seen();
        let newest = self.info(&stream).await?.map(|info| info.state.last_seq);
        let progress = newest.map_or(Progress::Doubtful, |newest| known.judge(seen, newest));
        if progress == Progress::Doubtful {
            self.doubtful.store(true, Ordering::Relaxed);
        }
        if progress != Progress::WentBack && found == known.generation {
            return Ok(known.clone());
        }
        // Taken away by hand, the generation is put back.
        let generation = known.generation + u64::from(progress == Progress::WentBack);
        if !self.manages() {
            return Err(StreamError::WentBack {
                stream,
                option: if self.jetstream.manages_streams {
                    self.option("managed")
                } else {
                    MANAGE_STREAMS.to_owned()
                },
            });
        }
        let config = settings::with_generation(&info.config, generation);
        let info = self
            .change(Verb::Update, &stream, &config)
            .await
            .map_err(|error| self.failed(&stream, error))?;
        if generation == known.generation {
            return Ok(known.clone());
        }
        warn!(
            stream,
            generation, "a stream has lost its end and gives sequences again"
        );
        let newest = info.state.last_seq;
        Ok(Arc::new(Partition::new(stream, info.created, generation, newest)))
    }

    /// The new stream, or the one that another gateway made meanwhile.
    async fn make(&self, stream: &str, wanted: &Wanted) -> Result<(bool, StreamInfo), StreamError> {
        match self.change(Verb::Create, stream, wanted.config()).await {
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
        if !self.manages() {
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
                    .change(Verb::Update, stream, &config)
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
        verb: Verb,
        stream: &str,
        config: &Map<String, Value>,
    ) -> Result<StreamInfo, CallError> {
        self.jetstream.call(verb, stream, &json!(config)).await
    }

    fn failed(&self, stream: &str, error: CallError) -> StreamError {
        match error {
            CallError::Bus(error) => StreamError::Bus(error),
            CallError::NoResponders => StreamError::NoJetStream,
            CallError::NotPermitted(subject) => StreamError::NotPermitted {
                stream: stream.to_owned(),
                subject,
            },
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
