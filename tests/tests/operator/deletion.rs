//! What stays of a cluster that is deleted, and what does not.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use natter_operator::kinds::Kind;
use natter_tests::kubernetes::OperatorBuilder;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

fn claims(scenario: &Scenario) -> Api<PersistentVolumeClaim> {
    Api::namespaced(scenario.client.clone(), &scenario.namespace)
}

#[tokio::test]
async fn volumes_stay_by_default_are_named_and_are_found_again() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    scenario
        .condition("chat", ("BusReady", "True", "AllServersReady"))
        .await?;
    let claim = claims(&scenario).get("data-chat-nats-0").await?;

    scenario.delete("chat").await?;
    scenario.nothing_is_left().await?;
    let note = scenario.event("chat", "Retained").await?;
    for number in 0..3 {
        let name = format!("data-chat-nats-{number}");
        ensure!(note.contains(&name), "{note}");
        claims(&scenario)
            .get(&name)
            .await
            .with_context(|| format!("{name} is gone"))?;
    }

    scenario.apply("chat", json!({})).await?;
    scenario
        .condition("chat", ("BusReady", "True", "AllServersReady"))
        .await?;
    let found = claims(&scenario).get("data-chat-nats-0").await?;
    ensure!(found.uid() == claim.uid(), "the volume claim is another one");
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_when_the_spec_says_so() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let cluster = scenario
        .apply("chat", json!({"spec": {"deletionPolicy": "Delete"}}))
        .await?;
    ensure!(
        cluster.finalizers().is_empty(),
        "owners are enough for a managed NATS"
    );
    scenario
        .condition("chat", ("BusReady", "True", "AllServersReady"))
        .await?;
    scenario.delete("chat").await?;
    scenario.nothing_is_left().await?;
    eventually("no claim is left", LIMIT, async || {
        let left: Vec<_> = claims(&scenario)
            .list(&ListParams::default())
            .await?
            .items
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_namespace_that_is_deleted_goes_and_the_operator_goes_on() -> Result<()> {
    let (scenario, lease) = (Scenario::start().await?, Scenario::start().await?);
    let operator = OperatorBuilder::new(scenario.kubeconfig())
        .flag("--namespace", &scenario.namespace)
        .flag("--lease-namespace", &lease.namespace)
        .start()
        .await?;
    scenario
        .apply("chat", json!({"spec": {"deletionPolicy": "Delete"}}))
        .await?;
    scenario.objects().wait(Kind::StatefulSet, "chat-nats").await?;
    scenario.delete_namespace().await?;
    let (status, _) = operator.get("/livez").await?;
    ensure!(status == 200, "{status}");
    Ok(())
}
