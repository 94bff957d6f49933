//! Objects for Prometheus, and traces.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{bus::ClientCertificate, reference::SecretKey, text::DurationText};

/// Objects for Prometheus, which need the APIs of the Prometheus operator, and for Grafana.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.prometheusRule) || has(self.podMonitor)")
        .message("monitoring.prometheusRule needs monitoring.podMonitor: its alerts are about what that has scraped")
)]
pub struct Monitoring {
    /// A `PodMonitor` that has the gateways scraped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_monitor: Option<PodMonitor>,
    /// A `PrometheusRule` with alerts about this cluster. The chart brings the same about every cluster: with both, each alert comes
    /// twice. Needs `podMonitor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_rule: Option<PrometheusRule>,
    /// A `ConfigMap` with dashboards for Grafana's sidecar. They show every cluster, and the chart brings the same: one copy
    /// is enough for one Grafana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboards: Option<Dashboards>,
}

/// A `PodMonitor`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.interval) > duration('0s')")
        .message("monitoring.podMonitor.interval must be above 0s")
)]
pub struct PodMonitor {
    /// Time between two scrapes.
    #[serde(default = "default_interval")]
    pub interval: DurationText,
    /// Labels of the object, by which Prometheus selects it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn default_interval() -> DurationText {
    DurationText("30s".to_owned())
}

/// A `PrometheusRule`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRule {
    /// Labels of the object, by which Prometheus selects it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Dashboards for Grafana.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dashboards {
    /// Labels of the `ConfigMap`, by which the sidecar finds it.
    #[serde(default = "default_sidecar")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the `ConfigMap`, for the sidecar's folder for example.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn default_sidecar() -> BTreeMap<String, String> {
    BTreeMap::from([("grafana_dashboard".to_owned(), "1".to_owned())])
}

/// Traces of every gateway.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("double(self.sampleRatio) >= 0.0 && double(self.sampleRatio) <= 1.0")
        .message("tracing.sampleRatio must be between 0 and 1")
)]
#[x_kube(
    validation = Rule::new("!self.otlpEndpoint.startsWith('https://') || has(self.authority)")
        .message("a collector over https needs tracing.authority, by which it is judged")
)]
pub struct Tracing {
    /// OTLP/HTTP collector that receives the traces, such as `http://collector.monitoring:4318`, or one over https.
    #[schemars(length(max = 2048), regex(pattern = "^https?://[^@]+$"))]
    pub otlp_endpoint: String,
    /// Secret with the certificates, in PEM, of the authorities that are trusted with https: the gateway's image has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<SecretKey>,
    /// Certificate that gateways show the collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// Secret with headers of every export, one `Name: value` a line, such as the collector's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<SecretKey>,
    /// Share of publications that are traced, 0 to 1, as text.
    #[serde(default = "default_ratio")]
    #[schemars(length(max = 16), regex(pattern = r"^[01](\.[0-9]+)?$"))]
    pub sample_ratio: String,
}

fn default_ratio() -> String {
    "0.01".to_owned()
}
