//! Names that are long, and names that meet.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use natter_operator::kinds::Kind;
use natter_tests::kubernetes::OperatorBuilder;
use serde_json::json;

use crate::support::{Kubelet, Scenario};

#[tokio::test]
async fn a_name_of_63_characters_becomes_a_cluster_that_is_ready() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let name = format!("c{}", "hat".repeat(20) + "ty");
    ensure!(name.len() == 63, "{}", name.len());
    scenario
        .apply(
            &name,
            json!({"spec": {"exposure": {"ingress": {"hosts": ["chat.example"]}}}}),
        )
        .await?;
    scenario.condition(&name, ("Ready", "True", "AllReady")).await?;
    let names = scenario.objects().names().await?;
    ensure!(names.len() == 14, "{names:?}");
    Ok(())
}

#[tokio::test]
async fn two_clusters_of_one_name_in_two_namespaces_stay_apart() -> Result<()> {
    let scenario = Scenario::alone().await?;
    let other = scenario.beside().await?;
    let _operator = OperatorBuilder::new(scenario.kubeconfig())
        .flag("--lease-namespace", &scenario.namespace)
        .start()
        .await?;
    scenario
        .apply("chat", json!({"spec": {"gateways": {"replicas": 1}}}))
        .await?;
    other
        .apply("chat", json!({"spec": {"gateways": {"replicas": 3}}}))
        .await?;
    let (first, second) = (
        scenario.objects().deployment("chat").await?,
        other.objects().deployment("chat").await?,
    );
    ensure!(
        first.data["spec"]["replicas"] == 1 && second.data["spec"]["replicas"] == 3,
        "mixed up"
    );
    let prefix = async |scenario: &Scenario, name: &str| {
        let map = scenario.objects().get(Kind::ConfigMap, name).await?;
        let file: serde_json::Value =
            serde_json::from_str(map.data["data"]["gateway.yaml"].as_str().unwrap_or_default())?;
        anyhow::Ok(file["bus"]["prefix"].clone())
    };
    let prefixes = (
        prefix(&scenario, &first.name_any()).await?,
        prefix(&other, &second.name_any()).await?,
    );
    ensure!(prefixes.0 != prefixes.1, "{prefixes:?}");
    other.objects().wait(Kind::StatefulSet, "chat-nats").await?;

    scenario.objects().wait(Kind::StatefulSet, "chat-nats").await?;
    scenario.delete("chat").await?;
    scenario
        .objects()
        .wait_gone(Kind::StatefulSet, "chat-nats")
        .await?;
    scenario
        .objects()
        .wait_gone(Kind::Deployment, &first.name_any())
        .await?;
    let still = other.objects().get(Kind::Deployment, &second.name_any()).await?;
    ensure!(still.uid() == second.uid(), "the other cluster was touched");
    Ok(())
}
