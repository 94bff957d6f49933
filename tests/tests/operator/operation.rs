//! What the operator says about itself.

use anyhow::{Result, ensure};
use natter_tests::otlp::OtlpReceiver;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{LIMIT, Scenario};

/// The steps of a reconcile that writes and deletes nothing special.
const STEPS: [&str; 10] = [
    "dereference",
    "validate",
    "build",
    "ask",
    "steer",
    "tokens",
    "apply",
    "act",
    "prune",
    "status",
];

#[tokio::test]
async fn a_span_for_each_reconcile_and_each_of_its_steps() -> Result<()> {
    let scenario = Scenario::start().await?;
    let receiver = OtlpReceiver::start().await?;
    let _operator = scenario
        .builder()
        .flag("--otlp-endpoint", &receiver.endpoint())
        .start()
        .await?;
    scenario.apply("chat", json!({})).await?;
    let reconcile = receiver.wait_span(|span| span.name == "reconcile", LIMIT).await?;
    ensure!(
        reconcile.attributes["cluster"] == "chat"
            && reconcile.attributes["namespace"] == scenario.namespace.as_str(),
        "{reconcile:?}"
    );
    ensure!(
        reconcile.resource["service.name"] == "natter-operator",
        "{reconcile:?}"
    );
    eventually("the steps are there", LIMIT, async || {
        let spans = receiver.spans();
        let mut steps: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_id == reconcile.span_id)
            .collect();
        steps.sort_by_key(|span| span.start);
        let names: Vec<_> = steps.iter().map(|span| span.name.as_str()).collect();
        ensure!(names == STEPS, "{names:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn health_and_metrics() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario.operator().await?;
    ensure!(operator.get("/livez").await?.0 == 200, "not alive");
    scenario.apply("chat", json!({})).await?;
    scenario.objects().deployment("chat").await?;
    eventually("it is ready and has counted", LIMIT, async || {
        let (status, body) = operator.get("/readyz").await?;
        ensure!(status == 200, "{status} {body}");
        let metrics = operator.metrics().await?;
        let done = metrics.value("natter_operator_reconciles_total", &[("result", "Done")]);
        let applied = metrics.value(
            "natter_operator_writes_total",
            &[("kind", "Deployment"), ("verb", "apply")],
        );
        ensure!(done.is_some_and(|count| count >= 1.0), "{done:?}");
        ensure!(applied.is_some_and(|count| count >= 1.0), "{applied:?}");
        ensure!(
            metrics.sum("natter_operator_reconcile_duration_seconds_count") >= 1.0,
            "no duration"
        );
        ensure!(
            metrics.sum("natter_operator_status_writes_total") >= 1.0,
            "no status"
        );
        Ok(())
    })
    .await
}
