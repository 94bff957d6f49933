//! What limits held back.

use super::family::{LabeledCounter, Registrar};
use crate::limits::Limit;

/// Refusals and delays by limit.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    limited: LabeledCounter,
}

impl LimitMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            limited: registrar.labeled(
                "natter_limited_total",
                "What limits refused or held back, by limit (docs/limits.md)",
                &["limit"],
                Limit::ALL.map(Limit::label),
            )?,
        })
    }

    pub fn reached(&self, limit: Limit) {
        self.limited.inc(limit.label());
    }
}
