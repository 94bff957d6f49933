//! What is said of the bus, by what the gateways say of it, and what waits meanwhile.

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Kubelet, LIMIT, Scenario, merge};

fn external() -> Value {
    json!({"spec": {"bus": {"external": {"servers": ["nats://nats.example:4222"]}}}})
}

/// The gateways of a cluster that is ready.
async fn start(scenario: &Scenario, spec: Value) -> Result<Vec<String>> {
    scenario.apply("chat", spec).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    Ok(scenario.fleet("chat").await?.into_keys().collect())
}

fn set_bus(kubelet: &Kubelet, pods: &[String], up: bool) -> Result<()> {
    pods.iter()
        .try_for_each(|pod| kubelet.play(pod, |gateway| gateway.bus_up = up))
}

#[tokio::test]
async fn an_external_nats_is_judged_by_what_the_gateways_say() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let pods = start(&scenario, external()).await?;
    let bus = |status, reason| scenario.condition("chat", ("BusReady", status, reason));
    bus("True", "Connected").await?;

    set_bus(&kubelet, &pods[..1], false)?;
    let said = bus("True", "PartlyConnected").await?;
    ensure!(said.contains(&pods[0]) && !said.contains(&pods[1]), "{said}");
    set_bus(&kubelet, &pods, false)?;
    let said = bus("False", "BusDown").await?;
    ensure!(said == "0 of 2 gateways are connected to NATS", "{said}");
    scenario.condition("chat", ("Ready", "False", "BusDown")).await?;
    let note = scenario.event("chat", "BusDown").await?;
    ensure!(note == said, "{note}");

    set_bus(&kubelet, &pods, true)?;
    bus("True", "Connected").await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    Ok(())
}

#[tokio::test]
async fn servers_that_no_gateway_reaches_are_no_bus() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let pods = start(&scenario, json!({})).await?;
    set_bus(&kubelet, &pods, false)?;
    let said = scenario
        .condition("chat", ("BusReady", "False", "BusDown"))
        .await?;
    ensure!(
        said == "3 of 3 NATS servers are ready; 0 of 2 gateways are connected to NATS",
        "{said}"
    );
    set_bus(&kubelet, &pods, true)?;
    scenario
        .condition("chat", ("BusReady", "True", "AllServersReady"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn nobody_is_drained_while_the_bus_is_away() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let pods = start(&scenario, external()).await?;
    set_bus(&kubelet, &pods, false)?;
    scenario
        .condition("chat", ("BusReady", "False", "BusDown"))
        .await?;
    let one = json!({"spec": {"gateways": {"replicas": 1}}});
    scenario.apply("chat", merge(external(), &one)).await?;
    let held = scenario
        .condition("chat", ("ScalingHeld", "True", "BusDown"))
        .await?;
    ensure!(
        held.ends_with("bus down: 0 of 2 gateways are connected to NATS"),
        "{held}"
    );
    let fleet = scenario.fleet("chat").await?;
    ensure!(
        fleet.len() == 2 && fleet.values().all(|marks| marks.leaving.is_none()),
        "{fleet:?}"
    );

    set_bus(&kubelet, &pods, true)?;
    eventually("one is left", LIMIT, async || {
        let fleet = scenario.fleet("chat").await?;
        ensure!(fleet.len() == 1, "{fleet:?}");
        Ok(())
    })
    .await?;
    scenario
        .condition("chat", ("ScalingHeld", "False", "NotHeld"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_bus_without_a_leader_is_not_ready() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let pods = start(&scenario, json!({})).await?;
    let why = "JetStream has not answered for its streams";
    for pod in &pods {
        let lacks = |namespaces: &mut std::collections::BTreeMap<_, _>| {
            namespaces.insert("log".to_owned(), why.to_owned());
        };
        kubelet.play(pod, |gateway| lacks(&mut gateway.namespaces))?;
    }
    let said = scenario
        .condition("chat", ("BusReady", "False", "NamespaceUnusable"))
        .await?;
    ensure!(said.contains(why) && said.contains("namespace log"), "{said}");
    for pod in &pods {
        kubelet.play(pod, |gateway| gateway.namespaces.clear())?;
    }
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    Ok(())
}
