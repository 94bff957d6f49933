//! What the operator counts about itself and says of each cluster; the table is in `docs/monitoring.md`.

mod clusters;

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};
use tokio::time::Instant;

pub use self::clusters::ClusterMetrics;
use crate::{error::Category, fleet::Action, kinds::Kind};

/// The families; clones share them.
#[derive(Clone)]
pub struct Metrics {
    /// What is known of each cluster.
    pub clusters: ClusterMetrics,
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    running: IntGauge,
    writes: IntCounterVec,
    status_writes: IntCounter,
    restarts: IntCounter,
    leader: IntGauge,
    watches_ready: IntGauge,
    actions: IntCounterVec,
    calls: IntCounterVec,
    stream_deletions: IntCounterVec,
}

/// Measures one reconcile.
pub struct Measured<'a> {
    metrics: &'a Metrics,
    started: Instant,
}

impl Metrics {
    /// Of an operator that was released as `release`. Fails only when two families have one name.
    pub fn new(release: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let metrics = Self {
            clusters: ClusterMetrics::register(&registry)?,
            reconciles: IntCounterVec::new(
                Opts::new(
                    "natter_operator_reconciles_total",
                    "Reconciles that ended, by result",
                ),
                &["result"],
            )?,
            duration: Histogram::with_opts(HistogramOpts::new(
                "natter_operator_reconcile_duration_seconds",
                "Duration of a reconcile",
            ))?,
            running: IntGauge::new("natter_operator_reconciles_running", "Reconciles under way")?,
            writes: IntCounterVec::new(
                Opts::new(
                    "natter_operator_writes_total",
                    "Objects written to the API server, by kind and verb",
                ),
                &["kind", "verb"],
            )?,
            status_writes: IntCounter::new(
                "natter_operator_status_writes_total",
                "Writes of the status of a ChatCluster",
            )?,
            restarts: IntCounter::new(
                "natter_operator_nats_restarts_total",
                "Servers of managed NATS restarted for a new image or configuration",
            )?,
            leader: IntGauge::new(
                "natter_operator_leader",
                "1 while this operator holds the lease, else 0",
            )?,
            watches_ready: IntGauge::new(
                "natter_operator_watches_ready",
                "1 once this operator has read what there is, 0 before: nothing is reconciled without",
            )?,
            actions: IntCounterVec::new(
                Opts::new(
                    "natter_operator_actions_total",
                    "What was done about gateways, by action and result",
                ),
                &["action", "result"],
            )?,
            calls: IntCounterVec::new(
                Opts::new(
                    "natter_operator_control_calls_total",
                    "Control calls that tell a gateway something, by result",
                ),
                &["result"],
            )?,
            stream_deletions: IntCounterVec::new(
                Opts::new(
                    "natter_operator_stream_deletions_total",
                    "ChatClusters deleted together with their streams on an external NATS, by result: deleted, or left after all",
                ),
                &["result"],
            )?,
            registry,
        };
        metrics.register()?;
        register_process(&metrics.registry, release)?;
        Ok(metrics)
    }

    /// With every series at 0 that can be known before.
    fn register(&self) -> prometheus::Result<()> {
        let families: [Box<dyn Collector>; 11] = [
            Box::new(self.reconciles.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.running.clone()),
            Box::new(self.writes.clone()),
            Box::new(self.status_writes.clone()),
            Box::new(self.restarts.clone()),
            Box::new(self.leader.clone()),
            Box::new(self.watches_ready.clone()),
            Box::new(self.actions.clone()),
            Box::new(self.calls.clone()),
            Box::new(self.stream_deletions.clone()),
        ];
        for family in families {
            self.registry.register(family)?;
        }
        let results = Category::ALL.iter().map(|category| category.reason());
        for result in results.chain(["Done"]) {
            self.reconciles.with_label_values(&[result]);
        }
        for action in Action::NAMES {
            for done in [true, false] {
                self.actions.with_label_values(&[action, result(done)]);
            }
        }
        for heard in [true, false] {
            self.calls.with_label_values(&[result(heard)]);
        }
        for deleted in [true, false] {
            self.stream_deletions.with_label_values(&[ending(deleted)]);
        }
        for kind in Kind::ALL {
            self.writes.with_label_values(&[kind.name(), "apply"]);
            self.writes.with_label_values(&[kind.name(), "delete"]);
        }
        Ok(())
    }

    /// Starts to measure a reconcile.
    pub fn reconcile(&self) -> Measured<'_> {
        self.running.inc();
        Measured {
            metrics: self,
            started: Instant::now(),
        }
    }

    /// An object was written; `verb` is `apply` or `delete`.
    pub fn written(&self, kind: Kind, verb: &'static str) {
        self.writes.with_label_values(&[kind.name(), verb]).inc();
    }

    /// Something was done about a gateway, by a write.
    pub fn acted(&self, action: &'static str, done: bool) {
        self.actions.with_label_values(&[action, result(done)]).inc();
    }

    /// A gateway was told something, or could not be.
    pub fn told(&self, heard: bool) {
        self.calls.with_label_values(&[result(heard)]).inc();
    }

    /// The streams of a deleted cluster are deleted, or were given up.
    pub fn streams_ended(&self, deleted: bool) {
        self.stream_deletions.with_label_values(&[ending(deleted)]).inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// A NATS server was restarted.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// Whether this operator holds the lease.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Whether this operator, which leads, has read what there is.
    pub fn watches_ready(&self, ready: bool) {
        self.watches_ready.set(i64::from(ready));
    }

    /// Everything in the Prometheus text format.
    pub fn encode(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn result(done: bool) -> &'static str {
    if done { "done" } else { "failed" }
}

fn ending(deleted: bool) -> &'static str {
    if deleted { "deleted" } else { "left" }
}

/// The `process_*` families of the crate (Linux) and the build.
fn register_process(registry: &Registry, release: &str) -> prometheus::Result<()> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    let build = IntGaugeVec::new(
        Opts::new(
            "natter_operator_build_info",
            "Always 1; version and source revision of the operator are in the labels",
        ),
        &["version", "revision"],
    )?;
    let revision = option_env!("NATTER_REVISION").unwrap_or("unknown");
    build.with_label_values(&[release, revision]).set(1);
    registry.register(Box::new(build))
}

impl Measured<'_> {
    /// Counts how the reconcile ended: `None` = well.
    pub fn end(self, failure: Option<Category>) {
        let result = failure.map_or("Done", Category::reason);
        self.metrics.reconciles.with_label_values(&[result]).inc();
        self.metrics
            .duration
            .observe(Duration::as_secs_f64(&self.started.elapsed()));
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        self.metrics.running.dec();
    }
}

#[cfg(test)]
mod tests;
