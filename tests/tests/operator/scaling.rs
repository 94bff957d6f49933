//! How many gateways: a fixed number that somebody else may write, and the number that their connections ask for.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Fleet, Kubelet, LIMIT, Scenario};

/// What a gateway said counts for half a minute, on top of a wait.
const STALE: Duration = Duration::from_secs(30);

fn names(fleet: &Fleet) -> Vec<String> {
    fleet.keys().cloned().collect()
}

/// Gives the gateways so many connections, in the order of their names.
async fn carry(scenario: &Scenario, kubelet: &Kubelet, connections: &[u64]) -> Result<Vec<String>> {
    let names = names(&scenario.fleet("chat").await?);
    ensure!(names.len() == connections.len(), "{names:?}");
    for (name, connections) in names.iter().zip(connections) {
        kubelet.play(name, |gateway| gateway.connections = *connections)?;
    }
    let all = i64::try_from(connections.iter().sum::<u64>())?;
    eventually("the operator knows of the connections", LIMIT, async || {
        let sizing = scenario.sizing("chat").await?;
        ensure!(sizing.connections == all, "{sizing:?}");
        anyhow::Ok(())
    })
    .await?;
    Ok(names)
}

async fn count(scenario: &Scenario, count: usize) -> Result<Fleet> {
    let ready = |fleet: &Fleet| fleet.len() == count && fleet.values().all(|marks| marks.leaving.is_none());
    let fleet = scenario
        .wait_fleet("chat", &format!("{count} gateways"), ready)
        .await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    scenario
        .condition("chat", ("Reconciling", "False", "UpToDate"))
        .await?;
    Ok(fleet)
}

/// As a `HorizontalPodAutoscaler` does it.
async fn write_scale(scenario: &Scenario, replicas: u32) -> Result<()> {
    let parameters = PatchParams {
        field_manager: Some("horizontal-pod-autoscaler".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    scenario
        .clusters()
        .patch_scale("chat", &parameters, &patch)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_emptiest_go_and_whoever_writes_the_scale_is_followed() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let config = json!({"client": {"anonymous": "allow"}, "drain": {"accept": "1s"}});
    scenario
        .apply("chat", json!({"spec": {"gateways": {"config": config}}}))
        .await?;
    count(&scenario, 2).await?;
    write_scale(&scenario, 4).await?;
    count(&scenario, 4).await?;
    let pods = carry(&scenario, &kubelet, &[9, 1, 7, 2]).await?;
    write_scale(&scenario, 2).await?;
    let left = names(&count(&scenario, 2).await?);
    ensure!(
        left == [pods[0].clone(), pods[2].clone()],
        "of {pods:?} {left:?} are left"
    );
    for place in [1, 3] {
        let told = kubelet.played(&pods[place])?;
        ensure!(told.calls() == ["cordon", "drain"], "{:?}", told.told);
        ensure!(told.told.iter().all(|told| !told.accepting), "{:?}", told.told);
    }
    for place in [0, 2] {
        let told = kubelet.played(&pods[place])?.told;
        ensure!(told.is_empty(), "one that stays was told {told:?}");
    }

    // The spec is the autoscaler's: nobody writes it again.
    let cluster = scenario.get("chat").await?;
    ensure!(cluster.spec.gateways.replicas == 2);
    let managers: Vec<_> = cluster
        .managed_fields()
        .iter()
        .filter(|entry| entry.subresource.as_deref() != Some("status"))
        .filter_map(|entry| entry.manager.clone())
        .collect();
    ensure!(
        managers.iter().all(|name| !name.starts_with("natter")),
        "the operator wrote the spec: {managers:?}"
    );
    let metrics = operator.metrics().await?;
    let drains = metrics.value(
        "natter_operator_actions_total",
        &[("action", "drain"), ("result", "done")],
    );
    ensure!(drains == Some(2.0), "{drains:?} drains");
    Ok(())
}

fn automatic(change: &Value) -> Value {
    let spec = json!({"spec": {
        "gateways": {"config": {"client": {"anonymous": "allow"}, "drain": {"accept": "1s"}}},
        "scaling": {"minReplicas": 1, "maxReplicas": 4, "connectionsPerGateway": 10, "scaleDownWindow": "3s"},
        "rebalance": {"enabled": false},
    }});
    crate::support::merge(spec, change)
}

#[tokio::test]
async fn the_number_follows_connections_and_is_held_without_samples() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", automatic(&json!({}))).await?;
    count(&scenario, 1).await?;
    let pods = carry(&scenario, &kubelet, &[25]).await?;
    count(&scenario, 3).await?;
    let sizing = scenario.sizing("chat").await?;
    ensure!(
        sizing.decision == "up from 1: 25 connections of 10 for each",
        "{sizing:?}"
    );

    kubelet.play(&pods[0], |gateway| {
        (gateway.silent, gateway.connections) = (true, 5);
    })?;
    let held = async || {
        let metrics = operator.metrics().await?;
        anyhow::Ok(metrics.value("natter_operator_scaling_held", &[("name", "chat")]))
    };
    eventually("the size is held", LIMIT + STALE, async || {
        let sizing = scenario.sizing("chat").await?;
        let why = sizing.held.as_deref().unwrap_or_default();
        ensure!(why.contains(&pods[0]) && sizing.desired == 3, "{sizing:?}");
        anyhow::Ok(())
    })
    .await?;
    scenario
        .condition("chat", ("ScalingHeld", "True", "SamplesMissing"))
        .await?;
    ensure!(held().await? == Some(1.0), "{:?}", held().await?);
    ensure!(scenario.fleet("chat").await?.len() == 3, "one went meanwhile");

    kubelet.play(&pods[0], |gateway| gateway.silent = false)?;
    let left = count(&scenario, 1).await?;
    ensure!(names(&left) == pods, "the fullest went: {left:#?}");
    scenario
        .condition("chat", ("ScalingHeld", "False", "NotHeld"))
        .await?;
    ensure!(held().await? == Some(0.0), "{:?}", held().await?);
    let sizing = scenario.sizing("chat").await?;
    ensure!(
        sizing.decision == "down from 3: 5 connections of 10 for each for 3s",
        "{sizing:?}"
    );
    ensure!(kubelet.played(&pods[0])?.told.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_a_gateway_cannot_hold_is_said() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let many = json!({"spec": {"scaling": {"connectionsPerGateway": 5000}}});
    scenario.apply("chat", automatic(&many)).await?;
    count(&scenario, 1).await?;
    scenario
        .condition("chat", ("CapacityLimited", "False", "WithinLimit"))
        .await?;
    for name in scenario.fleet("chat").await?.keys() {
        kubelet.play(name, |gateway| {
            (gateway.connection_limit, gateway.connections) = (1000, 1500);
        })?;
    }
    let message = scenario
        .condition("chat", ("CapacityLimited", "True", "FileLimit"))
        .await?;
    ensure!(message.contains("5000") && message.contains("1000"), "{message}");
    // Nine tenths of what it can hold: two gateways for 1500, though one should have been enough.
    eventually("more gateways are made instead", LIMIT, async || {
        let fleet = scenario.fleet("chat").await?;
        ensure!(fleet.len() == 2, "{fleet:#?}");
        anyhow::Ok(())
    })
    .await
}
