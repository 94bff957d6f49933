//! The name of a room, shared by pointer between the room table, the workers and the sessions.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// A checked room name. Cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

impl From<&str> for Channel {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Deref for Channel {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
