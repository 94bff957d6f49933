//! What is revoked, and what came of it.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::{Registrar, count};
use crate::revocation::{Act, Kind};

/// Rules, what they did, and whether they are known.
#[derive(Clone, Debug)]
pub struct RevocationMetrics {
    rules: IntGaugeVec,
    acts: IntCounterVec,
    current: IntGauge,
    withheld: IntCounter,
}

impl RevocationMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let rules = registrar.gauges("natter_revocations", "Revocations in force, by kind", &["kind"])?;
        let acts = registrar.counters(
            "natter_revocation_acts_total",
            "Connections closed, subscriptions ended and commands refused for a revocation, by its kind",
            &["kind", "result"],
        )?;
        for kind in Kind::ALL {
            rules.with_label_values(&[kind.label()]).set(0);
            for act in Act::ALL {
                acts.get_metric_with_label_values(&[kind.label(), act.label()])?;
            }
        }
        Ok(Self {
            rules,
            acts,
            current: registrar.gauge(
                "natter_revocations_current",
                "1 while the gateway knows what is revoked, 0 while rooms with access rules wait for that",
            )?,
            withheld: registrar.counter(
                "natter_publications_withheld_total",
                "Publications that were not given to rooms with access rules as it was not known what is revoked",
            )?,
        })
    }

    /// There are so many rules of a kind.
    pub fn rules(&self, kind: Kind, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.rules.with_label_values(&[kind.label()]).set(number);
    }

    pub fn acted(&self, kind: Kind, act: Act) {
        count(&self.acts, &[kind.label(), act.label()], 1);
    }

    pub fn current(&self, is_current: bool) {
        self.current.set(is_current.into());
    }

    pub fn withheld(&self) {
        self.withheld.inc();
    }
}
