//! A few things that every gateway must know, kept by the bus under keys: each has one value, the newest.
//!
//! Changes are counted. Who asks for those after its [`Mark`] is told all that was kept before it asked, so a reader that has
//! been answered knows how much it knows, and since when.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::BusError;

/// How far a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Names the store: in another one counting begins anew.
    pub epoch: Arc<str>,
    /// Number of the newest change that the reader knows, or knows to be superseded.
    pub sequence: u64,
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
    /// Not if the key has a value.
    pub only_new: bool,
}

/// A value as it is kept, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub sequence: u64,
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
    /// They are all that is kept, and not what follows the reader's mark.
    pub whole: bool,
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
