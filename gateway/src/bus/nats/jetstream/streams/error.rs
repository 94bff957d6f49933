//! What is wrong with a stream, in words for whoever has to put it right.

use crate::bus::BusError;

/// Why a namespace cannot be durable now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::bus::nats) enum StreamError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("NATS server {0} is too old for durable rooms")]
    OldServer(String),
    #[error("JetStream is not enabled at NATS for this account")]
    NoJetStream,
    #[error("stream {stream} does not exist, and {option} says that the gateway does not make it")]
    Missing { stream: String, option: String },
    #[error(
        "stream {stream} does not exist, and bus.nats.manage_streams says that the gateway does not make it: natter-gateway setup-bus does"
    )]
    NotSetUp { stream: String },
    #[error("the bucket of revocations cannot be made: {0}")]
    Bucket(String),
    #[error("NATS does not permit this user to ask about stream {stream}: it may not publish to {subject}")]
    NotPermitted { stream: String, subject: String },
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
    #[error(
        "stream {stream} has lost its end and gives sequences again: raise natter-generation in its metadata, which {option} keeps the gateway from"
    )]
    WentBack { stream: String, option: String },
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
