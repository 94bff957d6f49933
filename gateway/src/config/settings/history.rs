//! What durable rooms keep, who may read it, and the streams that hold it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Who;
use crate::config::units::{duration, optional_duration, optional_size};

/// Who may read what a room keeps; here every group makes sense.
pub type HistoryReaders = Who;

/// History of the rooms of a namespace; rooms without it are ephemeral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct HistoryOptions {
    /// Publications kept per room, at least 1.
    pub size: usize,
    /// Age at which a publication is forgotten, at least 1 s.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// Which clients may ask for history, recovery and positioning.
    pub read: HistoryReaders,
    /// Every client recovers after a reconnect, asked for or not.
    pub force_recovery: bool,
    /// Every client's position is watched, asked for or not.
    pub force_positioning: bool,
    pub recovery_mode: RecoveryMode,
    /// How long an idempotency key is remembered; at most `ttl`.
    #[serde(with = "duration")]
    pub idempotency_window: Duration,
    pub stream: StreamOptions,
}

impl HistoryOptions {
    /// Whether the idempotency window is the one that stands where none is written.
    pub(in crate::config) fn window_follows_ttl(&self) -> bool {
        self.idempotency_window == window_for(self.ttl)
    }
}

/// The idempotency window where none is written: 300 s, or the whole age of a shorter history.
fn window_for(ttl: Duration) -> Duration {
    ttl.min(Duration::from_mins(5))
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Written::default().into()
    }
}

/// The options as they are written: a missing window follows `ttl`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    size: usize,
    #[serde(with = "duration")]
    ttl: Duration,
    read: HistoryReaders,
    force_recovery: bool,
    force_positioning: bool,
    recovery_mode: RecoveryMode,
    #[serde(deserialize_with = "optional_duration")]
    idempotency_window: Option<Duration>,
    stream: StreamOptions,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            size: 100,
            ttl: Duration::from_mins(5),
            read: HistoryReaders::Subscribers,
            force_recovery: false,
            force_positioning: false,
            recovery_mode: RecoveryMode::Stream,
            idempotency_window: None,
            stream: StreamOptions::default(),
        }
    }
}

impl From<Written> for HistoryOptions {
    fn from(written: Written) -> Self {
        Self {
            size: written.size,
            ttl: written.ttl,
            read: written.read,
            force_recovery: written.force_recovery,
            force_positioning: written.force_positioning,
            recovery_mode: written.recovery_mode,
            idempotency_window: written
                .idempotency_window
                .unwrap_or_else(|| window_for(written.ttl)),
            stream: written.stream,
        }
    }
}

/// What a client gets that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryMode {
    /// Everything it missed.
    Stream,
    /// The latest publication.
    Cache,
}

/// The streams of a namespace at NATS, one for each partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamOptions {
    /// The gateway makes and changes the streams; otherwise an administrator does, and they are only checked.
    pub managed: bool,
    /// 1 to 64; `None`: 1 on a single NATS server, 4 on a cluster.
    pub partitions: Option<u16>,
    /// 1, 3 or 5.
    pub replicas: u8,
    pub storage: Storage,
    /// Bytes that one partition may hold; `None`: no limit but the server's.
    #[serde(with = "optional_size")]
    pub max_bytes: Option<u64>,
    pub discard: Discard,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            managed: true,
            partitions: None,
            replicas: 1,
            storage: Storage::File,
            max_bytes: None,
            discard: Discard::Old,
        }
    }
}

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    File,
    Memory,
}

/// What gives way when a partition holds `max_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    /// The oldest publications of the partition, of whatever room.
    Old,
    /// The new publication: it is refused.
    New,
}
