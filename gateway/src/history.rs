//! What durable rooms keep: positions, pages, and the policy that says how much.
//!
//! A room's order is the order of its stream. Offsets are the stream's sequences: increasing, not necessarily
//! contiguous, below 2⁵³. The epoch names the stream: another epoch means that offsets of the former one say nothing.

use std::{fmt, sync::Arc};

use crate::{config::HistoryOptions, publication::Publication};

/// Identity of a stream of publications; clients compare it for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl From<&str> for Epoch {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Epoch {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a room: after the publication with this offset, 0 before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: u64,
}

/// How the rooms of a durable namespace are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPolicy {
    /// Name of the namespace; `default` for rooms without one.
    pub namespace: Arc<str>,
    pub options: HistoryOptions,
}

/// Which publications to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Only what follows this offset (before it, in reverse).
    pub since: Option<u64>,
    /// At most so many; 0 reads the position only.
    pub limit: usize,
    /// Newest first.
    pub reverse: bool,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order asked for; each has its offset.
    pub publications: Vec<Arc<Publication>>,
    /// The newest position of the room, at least as new as every publication here.
    pub head: Position,
    /// Whether everything between `since` and the first publication here is still known: false when history was
    /// evicted or removed behind `since`, so that some of what followed it is lost, or when the room was never there.
    pub complete: bool,
}

impl Page {
    /// The page, unless the reader counts in another epoch: offsets of that one mean nothing here.
    pub fn in_epoch(self, epoch: &str) -> Option<Self> {
        (epoch.is_empty() || epoch == self.head.epoch.as_str()).then_some(self)
    }
}

/// Longest idempotency key in bytes: far more than any identifier has, for nobody should have to cut one.
pub const MAX_KEY: usize = 10 * 1024;

/// How many publications a page may have; a negative number asks for as many as there may be.
pub fn page_limit(asked: i32, most: usize) -> usize {
    usize::try_from(asked).map_or(most, |asked| asked.min(most))
}

/// What a stored publication is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub position: Position,
    /// The idempotency key was seen before: this is the position of the first one.
    pub repeated: bool,
}

/// Why a publication was not stored, or not known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Bus(#[from] crate::bus::BusError),
    /// The same key came with another body.
    #[error("the idempotency key was used for another message")]
    KeyReused,
    /// The stream takes no more (`max_bytes` with discard new).
    #[error("the history is full")]
    Full,
}

impl StoreError {
    /// Value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bus(error) => error.label(),
            Self::KeyReused => "key_reused",
            Self::Full => "history_full",
        }
    }
}
