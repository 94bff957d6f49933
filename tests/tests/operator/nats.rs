//! Servers of a managed NATS are restarted one at a time, and no further when one does not come back.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Kubelet, LIMIT, Scenario};

const OLD: &str = "registry.example/nats:1";
const NEW: &str = "registry.example/nats:2";

fn image(image: &str) -> Value {
    json!({"spec": {"bus": {"managed": {"image": image}}}})
}

/// Ready servers, and those that have this image.
async fn servers(scenario: &Scenario, image: &str) -> Result<(usize, usize)> {
    let pods: Api<Pod> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let labels = ListParams::default().labels("app.kubernetes.io/component=nats");
    let pods = pods.list(&labels).await?.items;
    let ready = |pod: &&Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let has = |pod: &&Pod| {
        let spec = pod.spec.as_ref();
        spec.is_some_and(|spec| spec.containers[0].image.as_deref() == Some(image))
    };
    Ok((pods.iter().filter(ready).count(), pods.iter().filter(has).count()))
}

async fn start(scenario: &Scenario) -> Result<()> {
    scenario.apply("chat", image(OLD)).await?;
    scenario
        .condition("chat", ("BusReady", "True", "AllServersReady"))
        .await?;
    scenario
        .condition("chat", ("Reconciling", "False", "UpToDate"))
        .await
        .map(drop)
}

#[tokio::test]
async fn a_new_image_reaches_one_server_after_another() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    start(&scenario).await?;
    scenario.apply("chat", image(NEW)).await?;
    let mut fewest = usize::MAX;
    eventually("every server has the new image", LIMIT, async || {
        let (ready, new) = servers(&scenario, NEW).await?;
        fewest = fewest.min(ready);
        ensure!(new == 3 && ready == 3, "{new} new, {ready} ready");
        Ok(())
    })
    .await?;
    ensure!(fewest >= 2, "only {fewest} servers were ready");
    scenario
        .condition("chat", ("Reconciling", "False", "UpToDate"))
        .await?;
    let restarts = operator
        .metrics()
        .await?
        .sum("natter_operator_nats_restarts_total");
    ensure!((restarts - 3.0).abs() < 0.5, "{restarts} restarts");
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_come_back_stops_the_rest() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    start(&scenario).await?;
    kubelet.hold("chat-nats", "ErrImagePull", "no such image");
    scenario.apply("chat", image(NEW)).await?;
    eventually("one server has the new image", LIMIT, async || {
        let (ready, new) = servers(&scenario, NEW).await?;
        ensure!(new == 1 && ready == 2, "{new} new, {ready} ready");
        Ok(())
    })
    .await?;
    eventually("the condition counts it", LIMIT, async || {
        let message = scenario
            .condition("chat", ("Reconciling", "True", "RollingNats"))
            .await?;
        ensure!(
            message.contains("1 of 3 NATS servers are current and 2 ready"),
            "{message}"
        );
        Ok(())
    })
    .await?;
    scenario
        .condition("chat", ("BusReady", "True", "ServersMissing"))
        .await?;

    // Back to what works: the sick one is first, although its revision is the newer one.
    kubelet.release_new();
    scenario.apply("chat", image(OLD)).await?;
    eventually("all is as before", LIMIT, async || {
        let (ready, old) = servers(&scenario, OLD).await?;
        ensure!(old == 3 && ready == 3, "{old} old, {ready} ready");
        Ok(())
    })
    .await?;
    let restarts = operator
        .metrics()
        .await?
        .sum("natter_operator_nats_restarts_total");
    ensure!(
        (restarts - 2.0).abs() < 0.5,
        "{restarts} restarts, though two servers never left the old image"
    );
    Ok(())
}
