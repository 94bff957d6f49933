//! Kinds of other projects that come and go: a condition says so, the rest goes on, nothing crashes.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use natter_operator::kinds::Kind;
use serde_json::json;

use crate::support::{Scenario, foreign_definitions, install_definition, remove_definition};

#[tokio::test]
async fn a_missing_api_is_a_condition_until_it_appears() -> Result<()> {
    let scenario = Scenario::alone().await?;
    let operator = scenario.operator().await?;
    let wanted = json!({"spec": {
        "exposure": {"httpRoute": {"parentRefs": [{"name": "edge"}], "hostnames": ["chat.example"]}},
        "monitoring": {"podMonitor": {}, "prometheusRule": {"labels": {"release": "prometheus"}}},
    }});
    scenario.apply("chat", wanted).await?;
    let missing = ("ApisAvailable", "False", "ApiMissing");
    let message = scenario.condition("chat", missing).await?;
    for kind in [Kind::HttpRoute, Kind::PodMonitor, Kind::PrometheusRule] {
        ensure!(message.contains(kind.name()), "{message}");
    }
    scenario.event("chat", "ApiMissing").await?;
    scenario.objects().deployment("chat").await?;

    let definitions = foreign_definitions()?;
    for definition in &definitions {
        install_definition(&scenario.client, definition).await?;
    }
    scenario
        .condition("chat", ("ApisAvailable", "True", "AllFound"))
        .await?;
    let route = scenario.objects().wait(Kind::HttpRoute, "chat").await?;
    ensure!(
        route.data["spec"]["rules"][0]["backendRefs"][0]["name"] == "chat",
        "{route:?}"
    );
    scenario.objects().wait(Kind::PodMonitor, "chat-gateway").await?;
    let rule = scenario
        .objects()
        .wait(Kind::PrometheusRule, "chat-gateway")
        .await?;
    ensure!(rule.labels()["release"] == "prometheus", "{rule:?}");

    for definition in &definitions {
        remove_definition(&scenario.client, &definition.name_any()).await?;
    }
    scenario.condition("chat", missing).await?;
    let (status, _) = operator.get("/livez").await?;
    ensure!(status == 200, "{status}");
    Ok(())
}
