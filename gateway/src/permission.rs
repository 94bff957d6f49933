//! What a client may do beyond what a room's policy permits to its group: by the capabilities of its token
//! ([`Caps`], [`Allow`]) or by an expression of the namespace ([`Expression`]). The session asks in this order
//! (`session/rights.rs`); `docs/permissions.md` tells the whole of it.

mod allow;
mod caps;
mod expression;
mod pattern;

pub use allow::Allow;
pub use caps::{Caps, Fault};
pub use expression::{Expression, ExpressionError, Facts, Unanswered};

/// What a client asks for in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Subscribe,
    Publish,
    Presence,
    History,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Subscribe, Self::Publish, Self::Presence, Self::History];

    /// Metric label and log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }
}
