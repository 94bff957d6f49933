//! Objects of the Prometheus operator: what to scrape, and when to wake somebody.

use serde_json::{Value, json};

use super::{
    BuildError, Names, Object,
    labels::{self, GATEWAY},
    object::metadata,
};
use crate::{
    api::monitoring::{PodMonitor, PrometheusRule},
    kinds::Kind,
    validate::ValidCluster,
};

#[expect(clippy::unnecessary_wraps, reason = "as its neighbours")]
pub(super) fn build(cluster: &ValidCluster, names: &Names) -> Result<Vec<Object>, BuildError> {
    let monitoring = &cluster.spec.monitoring;
    let monitor = monitoring
        .pod_monitor
        .as_ref()
        .map(|wanted| pod_monitor(cluster, names, wanted));
    let rule = monitoring
        .prometheus_rule
        .as_ref()
        .map(|wanted| prometheus_rule(cluster, names, wanted));
    Ok(monitor.into_iter().chain(rule).collect())
}

fn pod_monitor(cluster: &ValidCluster, names: &Names, wanted: &PodMonitor) -> Object {
    let mut metadata = metadata(cluster, GATEWAY, names.gateways());
    metadata
        .labels
        .get_or_insert_default()
        .extend(wanted.labels.clone());
    let spec = json!({
        "selector": {"matchLabels": labels::selector(cluster, GATEWAY)},
        "podMetricsEndpoints": [{"port": "ops", "path": "/metrics", "interval": wanted.interval.0}],
    });
    Object::from_json(Kind::PodMonitor, metadata, json!({"spec": spec}))
}

fn prometheus_rule(cluster: &ValidCluster, names: &Names, wanted: &PrometheusRule) -> Object {
    let mut metadata = metadata(cluster, GATEWAY, names.gateways());
    metadata
        .labels
        .get_or_insert_default()
        .extend(wanted.labels.clone());
    let spec =
        json!({"groups": [{"name": format!("natter.{}", cluster.name), "rules": rules(cluster, names)}]});
    Object::from_json(Kind::PrometheusRule, metadata, json!({"spec": spec}))
}

struct Alert {
    name: &'static str,
    /// `{}` stands for the selector of this cluster's gateways.
    expression: &'static str,
    duration: &'static str,
    severity: &'static str,
    summary: &'static str,
}

const ALERTS: [Alert; 4] = [
    Alert {
        name: "NatterBusDown",
        expression: "min(natter_bus_up{}) == 0",
        duration: "1m",
        severity: "critical",
        summary: "a gateway is cut off from its bus",
    },
    Alert {
        name: "NatterUnrecoveredLoss",
        expression: "sum(increase(natter_unrecovered_loss_total{}[10m])) > 0",
        duration: "0m",
        severity: "critical",
        summary: "messages of durable rooms could not be delivered; clients were told",
    },
    Alert {
        name: "NatterDeliverySlow",
        expression: "histogram_quantile(0.99, sum by (le) (rate(natter_delivery_latency_seconds_bucket{}[5m]))) > 0.1",
        duration: "10m",
        severity: "warning",
        summary: "one delivery in a hundred takes more than 100 ms",
    },
    Alert {
        name: "NatterFileDescriptors",
        expression: "max(natter_file_descriptors_used{} / natter_file_descriptors_limit{}) > 0.9",
        duration: "5m",
        severity: "warning",
        summary: "a gateway uses more than 90 % of its file descriptors and will refuse clients",
    },
];

fn rules(cluster: &ValidCluster, names: &Names) -> Vec<Value> {
    let selector = format!(
        "{{namespace=\"{}\",pod=~\"{}-.*\"}}",
        cluster.namespace,
        names.gateways()
    );
    ALERTS
        .iter()
        .map(|alert| {
            json!({
                "alert": alert.name,
                "expr": alert.expression.replace("{}", &selector),
                "for": alert.duration,
                "labels": {"severity": alert.severity, "natter_cluster": cluster.name},
                "annotations": {"summary": format!("{}: {}", cluster.name, alert.summary)},
            })
        })
        .collect()
}
