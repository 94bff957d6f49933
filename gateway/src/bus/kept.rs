//! A few things that every gateway must know, kept by the bus under keys: each has one value, the newest.
//!
//! Changes are counted. Who asks for those after its [`Mark`] is told all that was kept before it asked, so a reader that has
//! been answered knows how much it knows, and since when.
//!
//! A number alone does not name a change: a store that has lost its end (a disk that was not synced, a volume that was restored) goes
//! on counting from there. So a mark also says when the store has taken the last changes that the reader knows. One that the
//! store still has proves that nothing before it was lost.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;

use super::BusError;

/// How far a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Names the store: in another one counting begins anew.
    pub epoch: Arc<str>,
    /// Number of the newest change that the reader knows, or knows to be superseded.
    pub sequence: u64,
    /// Changes that the reader knows, the newest first.
    pub proofs: Vec<Stamp>,
}

/// Names one change of a store for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub sequence: u64,
    /// When the store has taken it, in nanoseconds of Unix time.
    pub time: u64,
}

/// Something to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Letters, digits, `-`, `_`, `=` and dots between them.
    pub key: String,
    /// Empty: what the key had is gone.
    pub value: Bytes,
    /// After which the store forgets it, in whole seconds.
    pub ttl: Duration,
    /// Only if this is the number of the key's last change, an end as well; 0: the store has none of it.
    pub only_after: Option<u64>,
}

/// A value as it is kept, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub sequence: u64,
    /// When the store has taken it, in nanoseconds of Unix time; 0: that is not known.
    pub time: u64,
    pub key: String,
    /// Empty: gone.
    pub value: Bytes,
}

/// What a reader does not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// In the order in which they were made; those that were superseded meanwhile are left out.
    pub kept: Vec<Kept>,
    pub mark: Mark,
    /// Number of the change that they follow: up to there the store holds what it held when the reader made its mark. `None`: nothing
    /// shows that, and they are all that is kept.
    pub since: Option<u64>,
    /// How many keys the store has, ended ones among them.
    pub total: u64,
}

impl Changes {
    /// The newest of each key.
    pub fn by_key(&self) -> HashMap<&str, &Kept> {
        self.kept.iter().map(|kept| (kept.key.as_str(), kept)).collect()
    }
}

/// Why nothing is kept, or nothing is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    #[error(transparent)]
    Bus(#[from] BusError),
    /// This bus keeps nothing.
    #[error("NATS has no JetStream that can keep it")]
    Unavailable,
    /// It has to be made by somebody else (`bus.nats.manage_streams: false`).
    #[error("the bucket of revocations does not exist: natter-gateway setup-bus makes it")]
    Missing,
}
