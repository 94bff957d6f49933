//! Operations of clients that the policy of a room does not permit by itself.

use prometheus::IntCounterVec;

use super::family::{Registrar, count};
use crate::permission::Operation;

/// What became of such an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A capability of the connection or the subscription opens it.
    Capability,
    /// An expression of the namespace permits it.
    Expression,
    Refused,
    /// Refused, because the expression could not be evaluated.
    Error,
}

impl Decision {
    pub const ALL: [Self; 4] = [Self::Capability, Self::Expression, Self::Refused, Self::Error];

    /// Metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Capability => "capability",
            Self::Expression => "expression",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// Such operations by what they are and what became of them.
#[derive(Clone, Debug)]
pub struct PermissionMetrics(IntCounterVec);

impl PermissionMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let decided = registrar.counters(
            "natter_permissions_total",
            "Operations of clients that the room's policy does not permit by itself, by what opened or refused them",
            &["operation", "result"],
        )?;
        for operation in Operation::ALL {
            for decision in Decision::ALL {
                decided.get_metric_with_label_values(&[operation.label(), decision.label()])?;
            }
        }
        Ok(Self(decided))
    }

    pub fn decided(&self, operation: Operation, decision: Decision) {
        count(&self.0, &[operation.label(), decision.label()], 1);
    }
}
