use prometheus::proto::MetricFamily;
use serde_json::json;

use super::*;
use crate::{api::ChatCluster, rollout::Stage};

const DOCUMENTATION: &str = include_str!("../../../docs/monitoring.md");
const BEGIN: &str = "<!-- operator families: begin (checked by a test) -->\n";
const END: &str = "<!-- operator families: end -->";

fn cluster(uid: &str) -> ChatCluster {
    let cluster = json!({
        "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
        "metadata": {"name": "chat", "namespace": "default", "uid": uid},
        "spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}},
    });
    serde_json::from_value(cluster).unwrap()
}

/// All families, each with a series.
fn families() -> Vec<MetricFamily> {
    let metrics = Metrics::new("1.2.3").unwrap();
    metrics.clusters.reconciled(&cluster("1"));
    metrics.clusters.count(&cluster("1"), 2, 1);
    metrics.clusters.steered(&cluster("1"), true, &Stage::Done);
    let families = metrics.registry.gather();
    families
        .into_iter()
        .filter(|family| family.name().starts_with("natter_"))
        .collect()
}

fn row(family: &MetricFamily) -> String {
    let labels = family.get_metric()[0].get_label();
    let mut labels: Vec<_> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
    if labels.is_empty() {
        labels.push("–".to_owned());
    }
    let kind = format!("{:?}", family.get_field_type()).to_lowercase();
    format!(
        "| `{}` | {kind} | {} | {} |\n",
        family.name(),
        labels.join(", "),
        family.help()
    )
}

#[test]
fn the_documentation_lists_exactly_the_families() {
    let documented = DOCUMENTATION
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .unwrap()
        .0;
    let rows: String = families().iter().map(row).collect();
    let registered = format!("| family | type | labels | meaning |\n|---|---|---|---|\n{rows}");
    assert_eq!(
        documented, registered,
        "docs/monitoring.md should hold this table:\n{registered}"
    );
}

#[test]
fn the_time_runs_for_a_cluster_that_never_was_well() {
    let metrics = Metrics::new("1.2.3").unwrap();
    let time = || {
        let text = metrics.encode().unwrap();
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("natter_operator_last_reconcile_timestamp_seconds{"));
        line.and_then(|line| line.rsplit_once(' '))
            .map(|(_, value)| value.to_owned())
    };
    assert_eq!(time(), None);
    metrics.clusters.looked_at(&cluster("1"));
    let first = time();
    assert!(first.is_some_and(|time| time.parse::<f64>().unwrap() > 1e9));
    metrics.clusters.forget_all();
    assert_eq!(time(), None, "another leads");
}

#[test]
fn gauges_of_a_cluster_go_with_it_and_do_not_come_back() {
    let metrics = Metrics::new("1.2.3").unwrap();
    let shown = || metrics.encode().unwrap().contains("name=\"chat\"");
    metrics.clusters.count(&cluster("1"), 2, 1);
    metrics.clusters.steered(&cluster("1"), true, &Stage::Done);
    assert!(shown());
    metrics.clusters.remove(&cluster("1"));
    metrics.clusters.reconciled(&cluster("1"));
    assert!(!shown(), "a reconcile that was under way");
    metrics.clusters.reconciled(&cluster("2"));
    assert!(shown(), "another cluster of the same name");
}
