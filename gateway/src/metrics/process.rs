//! The process: what it runs, its descriptors, its configuration and its own tracing.

use prometheus::IntGauge;

use super::family::{LabeledCounter, Registrar};

/// The `process_*` families of the crate (Linux) and the build.
pub(super) fn register_process(registrar: &mut Registrar<'_>) -> prometheus::Result<()> {
    #[cfg(target_os = "linux")]
    registrar.registry().register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    let build = registrar.gauges(
        "natter_build_info",
        "Always 1; version and source revision of the gateway are in the labels",
        &["version", "revision"],
    )?;
    let revision = option_env!("NATTER_REVISION").unwrap_or("unknown");
    build
        .get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), revision])?
        .set(1);
    Ok(())
}

/// Open files against their limit, as the gateway counts them to refuse sockets in time.
#[derive(Clone, Debug)]
pub struct FileMetrics {
    limit: IntGauge,
    used: IntGauge,
    connections: IntGauge,
}

impl FileMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            limit: registrar.gauge(
                "natter_file_descriptors_limit",
                "File descriptors that the gateway may open",
            )?,
            used: registrar.gauge(
                "natter_file_descriptors_used",
                "File descriptors in use, as counted for the limit",
            )?,
            connections: registrar.gauge(
                "natter_connections_limit",
                "Client connections that the limit of file descriptors allows; from there on new ones are refused",
            )?,
        })
    }

    /// Called on every scrape.
    pub fn set(&self, limit: u64, used: u64, connections: u64) {
        self.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        self.used.set(i64::try_from(used).unwrap_or(i64::MAX));
        self.connections
            .set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}

/// Reloads of the configuration.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    reloads: LabeledCounter,
    last_successful: IntGauge,
}

impl ConfigMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let last_successful = registrar.gauge(
            "natter_config_last_reload_successful",
            "1 when the running settings are those of the file, 0 when the file was refused",
        )?;
        last_successful.set(1);
        let reloads = registrar.labeled(
            "natter_config_reloads_total",
            "Reloads of the configuration, by result",
            &["result"],
            ["applied", "refused"],
        )?;
        Ok(Self {
            reloads,
            last_successful,
        })
    }

    /// New settings are in force.
    pub fn applied(&self) {
        self.reloads.inc("applied");
        self.last_successful.set(1);
    }

    /// The new settings were invalid; the old ones stay.
    pub fn refused(&self) {
        self.reloads.inc("refused");
        self.last_successful.set(0);
    }
}

/// Spans on their way to the collector.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    spans: LabeledCounter,
}

impl TraceMetrics {
    pub(super) fn register(registrar: &mut Registrar<'_>) -> prometheus::Result<Self> {
        let spans = registrar.labeled(
            "natter_trace_spans_total",
            "Ended spans: taken by the collector, lost by a failed export, or dropped from a full queue",
            &["result"],
            ["exported", "failed", "dropped"],
        )?;
        Ok(Self { spans })
    }

    pub fn exported(&self, spans: u64) {
        self.spans.inc_by("exported", spans);
    }

    pub fn failed(&self, spans: u64) {
        self.spans.inc_by("failed", spans);
    }

    pub fn dropped(&self) {
        self.spans.inc("dropped");
    }
}
