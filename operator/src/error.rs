//! Why a reconcile failed, with a category that names it in events and metrics and decides when to try again.

use thiserror::Error;

use crate::{build::BuildError, kinds::Kind, validate::Invalid};

/// A failed reconcile.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("{kind} {name} exists and belongs to somebody else")]
    NotOurs { kind: &'static str, name: String },
    /// An apply that failed before and is not tried again yet.
    #[error("{text}")]
    Resting {
        text: String,
        category: Category,
        transient: bool,
    },
    #[error("cannot {action} {} {name}: {}", kind.name(), describe(source))]
    Object {
        action: &'static str,
        kind: Kind,
        name: String,
        source: kube::Error,
    },
    #[error("cannot restart the NATS server {name}: {}", describe(source))]
    Restart { name: String, source: kube::Error },
    #[error("cannot {what} {name}: {}", describe(source))]
    Action {
        what: &'static str,
        name: String,
        source: kube::Error,
    },
    #[error(
        "cannot apply Secret {name} with the tokens of control calls: {}",
        describe(source)
    )]
    Tokens { name: String, source: kube::Error },
    #[error("cannot write the status: {}", describe(.0))]
    Status(kube::Error),
}

/// Stable names of failures: reasons of events and conditions, labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The spec cannot be built; only a change of it helps.
    InvalidSpec,
    /// A fault of this program.
    BuildFailed,
    /// An object of the name is there and not ours.
    NotOurs,
    /// The API server refused, or could not be reached.
    ApplyFailed,
    /// The namespace is being deleted; nothing can be made in it.
    NamespaceTerminating,
}

impl Category {
    pub const ALL: [Self; 5] = [
        Self::InvalidSpec,
        Self::BuildFailed,
        Self::NotOurs,
        Self::ApplyFailed,
        Self::NamespaceTerminating,
    ];

    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::BuildFailed => "BuildFailed",
            Self::NotOurs => "NotOurs",
            Self::ApplyFailed => "ApplyFailed",
            Self::NamespaceTerminating => "NamespaceTerminating",
        }
    }

    /// Whether only a change of the cluster can help, so that trying again is of no use.
    pub fn waits_for_change(self) -> bool {
        matches!(
            self,
            Self::InvalidSpec | Self::BuildFailed | Self::NamespaceTerminating
        )
    }
}

impl Error {
    pub fn category(&self) -> Category {
        match self {
            Self::Invalid(_) => Category::InvalidSpec,
            Self::Build(_) => Category::BuildFailed,
            Self::NotOurs { .. } => Category::NotOurs,
            Self::Resting { category, .. } => *category,
            Self::Object { source, .. }
            | Self::Restart { source, .. }
            | Self::Action { source, .. }
            | Self::Tokens { source, .. }
            | Self::Status(source)
                if is_terminating(source) =>
            {
                Category::NamespaceTerminating
            }
            Self::Object { .. }
            | Self::Restart { .. }
            | Self::Action { .. }
            | Self::Tokens { .. }
            | Self::Status(_) => Category::ApplyFailed,
        }
    }

    /// Whether it may pass by itself: the API server, or a webhook that it asks, is busy or away, or somebody else was faster.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Build(_) | Self::NotOurs { .. } => false,
            Self::Resting { transient, .. } => *transient,
            Self::Object { source, .. }
            | Self::Restart { source, .. }
            | Self::Action { source, .. }
            | Self::Tokens { source, .. }
            | Self::Status(source) => match source {
                kube::Error::Api(status) => status.code >= 500 || matches!(status.code, 408 | 409 | 429),
                _ => true,
            },
        }
    }
}

/// Whether the API server says that there is no such object or kind.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn is_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403 && status.message.contains("is being terminated"))
}

/// The API server's own words, without the debug form around them.
fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> Error {
        let status = Status::failure("no", "Reason").with_code(code);
        Error::Status(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn only_what_a_person_must_mend_is_no_passing_error() {
        for code in [408, 409, 429, 500, 503, 504] {
            assert!(refused(code).is_transient(), "{code}");
        }
        for code in [400, 403, 404, 422] {
            assert!(!refused(code).is_transient(), "{code}");
        }
    }
}
