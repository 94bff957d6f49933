//! Objects of the Prometheus operator: what to scrape, and when to wake somebody; and dashboards. Rules and dashboards are
//! those of the chart, so that there is one model of each, with its tests and runbooks.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::de::Error as _;
use serde_json::{Value, json};

use super::{
    BuildError, Names, Object,
    labels::{self, GATEWAY},
    object::metadata,
};
use crate::{
    api::monitoring::{Dashboards, PodMonitor, PrometheusRule},
    kinds::Kind,
    validate::ValidCluster,
};

const RULES: &str = include_str!("../../../charts/natter/monitoring/rules/gateway.yaml");
/// What stands in every expression where a cluster's own copy names the cluster.
const ANY_JOB: &str = r#"job=~".+""#;

/// Those about gateways; the operator's own comes with the chart.
const DASHBOARDS: [(&str, &str); 5] = [
    (
        "natter-backends.json",
        include_str!("../../../charts/natter/monitoring/dashboards/natter-backends.json"),
    ),
    (
        "natter-bus.json",
        include_str!("../../../charts/natter/monitoring/dashboards/natter-bus.json"),
    ),
    (
        "natter-gateway.json",
        include_str!("../../../charts/natter/monitoring/dashboards/natter-gateway.json"),
    ),
    (
        "natter-overview.json",
        include_str!("../../../charts/natter/monitoring/dashboards/natter-overview.json"),
    ),
    (
        "natter-rooms.json",
        include_str!("../../../charts/natter/monitoring/dashboards/natter-rooms.json"),
    ),
];

pub(super) fn build(cluster: &ValidCluster, names: &Names) -> Result<Vec<Object>, BuildError> {
    let monitoring = &cluster.spec.monitoring;
    let mut objects = Vec::new();
    if let Some(wanted) = &monitoring.pod_monitor {
        objects.push(pod_monitor(cluster, names, wanted));
    }
    if let Some(wanted) = &monitoring.prometheus_rule {
        objects.push(prometheus_rule(cluster, names, wanted)?);
    }
    if let Some(wanted) = &monitoring.dashboards {
        objects.push(Object::of(Kind::ConfigMap, &dashboards(cluster, names, wanted))?);
    }
    Ok(objects)
}

fn labelled(cluster: &ValidCluster, name: String, labels: &BTreeMap<String, String>) -> ObjectMeta {
    let mut metadata = metadata(cluster, GATEWAY, name);
    let mut all = labels.clone();
    // Ours decide: by them the operator finds the object again.
    all.extend(metadata.labels.take().unwrap_or_default());
    metadata.labels = Some(all);
    metadata
}

fn pod_monitor(cluster: &ValidCluster, names: &Names, wanted: &PodMonitor) -> Object {
    let spec = json!({
        "selector": {"matchLabels": labels::selector(cluster, GATEWAY)},
        "podMetricsEndpoints": [{"port": "ops", "path": "/metrics", "interval": wanted.interval.0}],
    });
    let metadata = labelled(cluster, names.gateways(), &wanted.labels);
    Object::from_json(Kind::PodMonitor, metadata, json!({"spec": spec}))
}

fn prometheus_rule(
    cluster: &ValidCluster,
    names: &Names,
    wanted: &PrometheusRule,
) -> Result<Object, BuildError> {
    let error = |error: serde_yaml_ng::Error| BuildError {
        what: "the PrometheusRule",
        source: serde_json::Error::custom(error),
    };
    let mut spec: Value = serde_yaml_ng::from_str(RULES).map_err(error)?;
    // The job of whatever a PodMonitor has scraped is its namespace and name.
    let (namespace, monitor) = (&cluster.namespace, names.gateways());
    let ours = format!(r#"namespace="{namespace}", job="{namespace}/{monitor}""#);
    let groups = spec["groups"].as_array_mut().into_iter().flatten();
    for rule in groups.filter_map(|group| group["rules"].as_array_mut()).flatten() {
        if let Some(expression) = rule["expr"].as_str() {
            rule["expr"] = expression.replace(ANY_JOB, &ours).into();
        }
    }
    let metadata = labelled(cluster, names.gateways(), &wanted.labels);
    Ok(Object::from_json(
        Kind::PrometheusRule,
        metadata,
        json!({"spec": spec}),
    ))
}

fn dashboards(cluster: &ValidCluster, names: &Names, wanted: &Dashboards) -> ConfigMap {
    let mut metadata = labelled(cluster, names.dashboards(), &wanted.labels);
    metadata.annotations = Some(wanted.annotations.clone()).filter(|annotations| !annotations.is_empty());
    let files = DASHBOARDS.map(|(name, text)| (name.to_owned(), text.to_owned()));
    ConfigMap {
        metadata,
        data: Some(files.into()),
        ..ConfigMap::default()
    }
}
