//! What a node that is being drained may take along: the budgets of gateways, as the API server judges them.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, EvictParams, PostParams};
use natter_operator::kinds::Kind;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Kubelet, LIMIT, Scenario};

fn spec(release: u32, replicas: u32) -> Value {
    json!({"spec": {
        "image": format!("registry.example/natter-gateway:{release}"),
        "gateways": {"replicas": replicas, "config": {"client": {"anonymous": "allow"}, "drain": {"accept": "1s"}}},
    }})
}

/// Asks for an eviction that is judged and not done.
async fn may_evict(pods: &Api<Pod>, name: &str) -> kube::Result<()> {
    let parameters = EvictParams {
        post_options: PostParams {
            dry_run: true,
            ..PostParams::default()
        },
        ..EvictParams::default()
    };
    pods.evict(name, &parameters).await.map(drop)
}

#[tokio::test]
async fn nodes_can_be_drained_while_a_roll_is_stalled() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let pods: Api<Pod> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    scenario.apply("chat", spec(1, 3)).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let former: Vec<_> = scenario.fleet("chat").await?.into_keys().collect();
    kubelet.hold("chat-gateway", "ErrImagePull", "no such image");
    scenario.apply("chat", spec(2, 3)).await?;
    scenario
        .condition("chat", ("Stalled", "True", "ImageNotPulled"))
        .await?;
    for name in scenario.fleet("chat").await?.into_keys() {
        let which = if former.contains(&name) {
            "serves"
        } else {
            "does not start"
        };
        eventually(
            &format!("{name}, which {which}, may leave its node"),
            LIMIT,
            async || may_evict(&pods, &name).await,
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_budget_goes_with_the_gateways_that_it_is_for() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", spec(1, 2)).await?;
    let name = scenario.objects().deployment("chat").await?.name_any();
    scenario.objects().wait(Kind::PodDisruptionBudget, &name).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    scenario.apply("chat", spec(2, 2)).await?;
    scenario
        .objects()
        .wait_gone(Kind::PodDisruptionBudget, &name)
        .await?;
    let name = scenario.objects().deployment("chat").await?.name_any();
    // A single gateway would never be let go.
    scenario.apply("chat", spec(2, 1)).await?;
    scenario
        .objects()
        .wait_gone(Kind::PodDisruptionBudget, &name)
        .await?;
    let names = scenario.objects().names().await?;
    ensure!(names.iter().any(|found| found.ends_with(&name)), "{names:?}");
    Ok(())
}
