//! The streams of a namespace: made and kept in line by the gateway, or only checked when an administrator owns them.
//!
//! The number of partitions decides which stream a room is in, so it is fixed when the first stream is made: it stands
//! in that stream's metadata, and gateways that start together agree on it because only one of them makes that stream.
//! Another configured number is an error; the way to another number is another namespace.

mod settings;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::info;

use self::settings::{Change, Wanted};
use super::{
    JetStream, Subjects,
    api::{ApiError, CallError, code},
    partition::{self, Partition, StoredRoom},
    server_version,
};
use crate::{bus::BusError, history::HistoryPolicy};

/// Partitions where the configuration names no number.
const ON_A_SINGLE_SERVER: u16 = 1;
const ON_A_CLUSTER: u16 = 4;

/// The streams of one namespace, ready for use.
#[derive(Debug)]
pub(in crate::bus::nats) struct Streams {
    namespace: Arc<str>,
    subjects: Subjects,
    partitions: Vec<Arc<Partition>>,
    /// What an administrator should hear about the NATS server.
    pub(in crate::bus::nats) warning: Option<String>,
}

impl Streams {
    pub(in crate::bus::nats) fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// Where a room of this namespace is stored.
    pub(in crate::bus::nats) fn room(&self, room: &str) -> StoredRoom {
        // Configurations allow 64.
        let count = u16::try_from(self.partitions.len()).unwrap_or(u16::MAX);
        let number = partition::partition_of(room, count);
        StoredRoom {
            partition: self.partitions[usize::from(number)].clone(),
            subject: self.subjects.stored(&self.namespace, number, room),
            live: self.subjects.live(&self.namespace, number, room),
        }
    }
}

/// Why a namespace cannot be durable now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::bus::nats) enum StreamError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("NATS server {0} is too old for durable rooms, which need 2.11 or newer")]
    OldServer(String),
    #[error("JetStream is not enabled at NATS for this account")]
    NoJetStream,
    #[error("stream {stream} does not exist, and {option} says that the gateway does not make it")]
    Missing { stream: String, option: String },
    #[error(
        "stream {stream} says that its namespace has {found} partitions, which is fixed; {option} is {configured}: set it back, or use another namespace"
    )]
    Partitions {
        stream: String,
        found: u16,
        configured: u16,
        option: String,
    },
    #[error("stream {stream} does not say how many partitions its namespace has: set {option}")]
    UnknownPartitions { stream: String, option: String },
    #[error("stream {stream} is not what {option} needs: {}", differences.join("; "))]
    Differs {
        stream: String,
        option: String,
        differences: Vec<String>,
    },
    #[error("NATS refused stream {stream} of {option}: {reason}")]
    Refused {
        stream: String,
        option: String,
        reason: String,
    },
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
}

/// One run of [`JetStream::ensure`].
struct Ensure<'a> {
    jetstream: &'a JetStream,
    policy: &'a HistoryPolicy,
    /// Path of the namespace's history in the configuration.
    path: String,
}

impl JetStream {
    /// Makes or checks every stream of a namespace. Safe to repeat and to run in several gateways at once.
    pub(in crate::bus::nats) async fn ensure(
        &self,
        policy: &HistoryPolicy,
    ) -> Result<Arc<Streams>, StreamError> {
        let server = self.requests.client().server_info();
        let warning = server_version::check(&server.version)?;
        let ensure = Ensure {
            jetstream: self,
            policy,
            path: path_of(&policy.namespace),
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
            warning,
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
        let configured = self.policy.options.stream.partitions;
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
            stream,
        })
    }

    /// The new stream, or the one that another gateway made meanwhile.
    async fn make(&self, stream: &str, wanted: &Wanted) -> Result<(bool, StreamInfo), StreamError> {
        match self.change("STREAM.CREATE", stream, wanted.config()).await {
            Ok(info) => {
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
        match wanted.change(&info.config) {
            Change::None => Ok(info),
            Change::Update(config) => {
                let info = self
                    .change("STREAM.UPDATE", stream, &config)
                    .await
                    .map_err(|error| self.failed(stream, error))?;
                info!(stream, "changed a stream's settings");
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
