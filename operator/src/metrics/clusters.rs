//! What is known of each cluster, as gauges that go with it.

use std::{collections::VecDeque, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use prometheus::{IntGaugeVec, Opts, Registry};

use crate::rollout::Stage;

/// Clusters that are gone and remembered, so that a reconcile that was under way brings no gauge of theirs back.
const REMEMBERED: usize = 1024;

/// The gauges; clones share them.
#[derive(Clone)]
pub struct ClusterMetrics {
    last_reconcile: IntGaugeVec,
    gateways: IntGaugeVec,
    scaling_held: IntGaugeVec,
    roll_stalled: IntGaugeVec,
    roll_progressing: IntGaugeVec,
    gone: Arc<Mutex<VecDeque<String>>>,
}

impl ClusterMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            last_reconcile: IntGaugeVec::new(
                Opts::new(
                    "natter_operator_last_reconcile_timestamp_seconds",
                    "Unix time of the last reconcile of a ChatCluster that ended well, or of the first one while none did",
                ),
                &["namespace", "name"],
            )?,
            gateways: IntGaugeVec::new(
                Opts::new(
                    "natter_operator_gateways",
                    "Gateways of a ChatCluster: those that shall be, and those of the current revision that serve",
                ),
                &["namespace", "name", "state"],
            )?,
            scaling_held: IntGaugeVec::new(
                Opts::new(
                    "natter_operator_scaling_held",
                    "1 while the number of gateways of a ChatCluster is kept because one does not say how it is or has lost the bus, else 0",
                ),
                &["namespace", "name"],
            )?,
            roll_stalled: IntGaugeVec::new(
                Opts::new(
                    "natter_operator_roll_stalled",
                    "1 while a roll of a ChatCluster needs a person, else 0",
                ),
                &["namespace", "name"],
            )?,
            roll_progressing: IntGaugeVec::new(
                Opts::new(
                    "natter_operator_roll_progressing",
                    "1 while a roll of a ChatCluster goes on, 0 while there is none or it is held or stalled",
                ),
                &["namespace", "name"],
            )?,
            gone: Arc::default(),
        };
        for family in [
            &metrics.last_reconcile,
            &metrics.gateways,
            &metrics.scaling_held,
            &metrics.roll_stalled,
            &metrics.roll_progressing,
        ] {
            registry.register(Box::new(family.clone()))?;
        }
        Ok(metrics)
    }

    /// A cluster is looked at. For one of which nothing ended well yet, the time runs from here, so that one that never gets there, or
    /// not since another operator leads, is told as well.
    pub fn looked_at(&self, cluster: &impl Resource<DynamicType = ()>) {
        let now = Timestamp::now().as_second();
        self.set(cluster, |namespace, name| {
            let gauge = self.last_reconcile.with_label_values(&[namespace, name]);
            if gauge.get() == 0 {
                gauge.set(now);
            }
        });
    }

    /// A reconcile ended well.
    pub fn reconciled(&self, cluster: &impl Resource<DynamicType = ()>) {
        let now = Timestamp::now().as_second();
        self.set(cluster, |namespace, name| {
            self.last_reconcile.with_label_values(&[namespace, name]).set(now);
        });
    }

    /// How many gateways there are.
    pub fn count(&self, cluster: &impl Resource<DynamicType = ()>, desired: i32, ready: i32) {
        self.set(cluster, |namespace, name| {
            for (state, number) in [("desired", desired), ("ready", ready)] {
                let gauge = self.gateways.with_label_values(&[namespace, name, state]);
                gauge.set(i64::from(number));
            }
        });
    }

    /// Whether the number of gateways is held, and how a roll is.
    pub fn steered(&self, cluster: &impl Resource<DynamicType = ()>, held: bool, stage: &Stage) {
        self.set(cluster, |namespace, name| {
            for (family, value) in [
                (&self.scaling_held, held),
                (&self.roll_stalled, matches!(stage, Stage::Stalled { .. })),
                (&self.roll_progressing, stage.goes_on()),
            ] {
                family.with_label_values(&[namespace, name]).set(i64::from(value));
            }
        });
    }

    /// Nothing is known of any cluster any more.
    pub fn forget_all(&self) {
        for family in [
            &self.last_reconcile,
            &self.gateways,
            &self.scaling_held,
            &self.roll_stalled,
            &self.roll_progressing,
        ] {
            family.reset();
        }
    }

    /// The cluster is gone.
    pub fn remove(&self, cluster: &impl Resource<DynamicType = ()>) {
        let mut gone = self.gone.lock();
        gone.truncate(REMEMBERED - 1);
        gone.push_front(cluster.uid().unwrap_or_default());
        let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
        // An error says that there is none.
        for family in [
            &self.last_reconcile,
            &self.scaling_held,
            &self.roll_stalled,
            &self.roll_progressing,
        ] {
            let _ = family.remove_label_values(&[&namespace, &name]);
        }
        for state in ["desired", "ready"] {
            let _ = self.gateways.remove_label_values(&[&namespace, &name, state]);
        }
    }

    fn set(&self, cluster: &impl Resource<DynamicType = ()>, set: impl FnOnce(&str, &str)) {
        let gone = self.gone.lock();
        if !gone.contains(&cluster.uid().unwrap_or_default()) {
            set(&cluster.namespace().unwrap_or_default(), &cluster.name_any());
        }
    }
}
