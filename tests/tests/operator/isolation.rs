//! One bad cluster never holds the others up.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use natter_operator::{crd, kinds::Kind};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario, install_definition};

#[tokio::test]
async fn one_that_cannot_be_read_is_counted_and_the_others_are_made() -> Result<()> {
    let scenario = Scenario::alone().await?;
    // A definition of another version: nothing is checked.
    let mut definition = serde_json::to_value(crd::chat_cluster()?)?;
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    install_definition(&scenario.client, &serde_json::from_value(definition)?).await?;
    let kind = GroupVersionKind::gvk("natter.dev", "v1alpha1", "ChatCluster");
    let raw: Api<DynamicObject> = Api::namespaced_with(
        scenario.client.clone(),
        &scenario.namespace,
        &ApiResource::from_gvk(&kind),
    );
    let mut bad = DynamicObject::new("bad", &ApiResource::from_gvk(&kind));
    bad.data = json!({"spec": {"gateways": {"config": "none"}}});
    eventually("the server takes what cannot be read", LIMIT, async || {
        raw.create(&PostParams::default(), &bad).await.map(drop)
    })
    .await?;

    let operator = scenario.operator().await?;
    scenario.apply("good", json!({})).await?;
    scenario.objects().deployment("good").await?;
    eventually("the failure is counted", LIMIT, async || {
        let metrics = operator.metrics().await?;
        let failed = metrics.value("natter_operator_reconciles_total", &[("result", "InvalidSpec")]);
        ensure!(failed.is_some_and(|count| count >= 1.0), "{failed:?}");
        Ok(())
    })
    .await?;

    let spec = json!({"spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}}});
    raw.patch("bad", &PatchParams::default(), &Patch::Merge(spec))
        .await?;
    scenario.objects().deployment("bad").await.map(drop)
}

#[tokio::test]
async fn what_the_schema_cannot_say_stalls_one_cluster_until_it_is_mended() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let misspelt =
        json!({"spec": {"gateways": {"podTemplate": {"spec": {"nodeSelektor": {"disk": "fast"}}}}}});
    scenario.apply("bad", misspelt).await?;
    scenario.apply("good", json!({})).await?;
    let message = scenario
        .condition("bad", ("Stalled", "True", "InvalidSpec"))
        .await?;
    ensure!(message.contains("nodeSelektor"), "{message}");
    scenario.event("bad", "InvalidSpec").await?;
    scenario.objects().deployment("good").await?;
    let mended = json!({"spec": {"gateways": {"podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}}}}});
    scenario.apply("bad", mended).await?;
    scenario.condition("bad", ("Stalled", "False", "NoError")).await?;
    let deployment = scenario.objects().deployment("bad").await?;
    let selector = &deployment.data["spec"]["template"]["spec"]["nodeSelector"];
    ensure!(*selector == json!({"disk": "fast"}), "{selector}");
    Ok(())
}

/// A roll, with everything that it takes, beside an object that cannot be applied and that no gateway needs.
#[tokio::test]
async fn what_gateways_do_not_need_stops_no_roll() -> Result<()> {
    let scenario = Scenario::start().await?;
    let ingresses: Api<Ingress> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let theirs = json!({
        "metadata": {"name": "chat"},
        "spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 80}}}},
    });
    ingresses
        .create(&PostParams::default(), &serde_json::from_value(theirs)?)
        .await?;
    let operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let spec = |image: &str| {
        json!({"spec": {
            "image": image,
            "gateways": {"config": {"client": {"anonymous": "allow"}, "drain": {"accept": "1s"}}},
            "exposure": {"ingress": {"hosts": ["chat.example"]}},
        }})
    };
    scenario
        .apply("chat", spec("registry.example/natter-gateway:1"))
        .await?;
    scenario.condition("chat", ("Stalled", "True", "NotOurs")).await?;
    scenario
        .condition("chat", ("GatewaysAvailable", "True", "EnoughGateways"))
        .await?;
    let former = scenario.objects().deployment("chat").await?.name_any();

    scenario
        .apply("chat", spec("registry.example/natter-gateway:2"))
        .await?;
    scenario.objects().wait_gone(Kind::Deployment, &former).await?;
    scenario.condition("chat", ("Stalled", "True", "NotOurs")).await?;
    let metrics = operator.metrics().await?;
    let cordoned = metrics.value(
        "natter_operator_actions_total",
        &[("action", "cordon"), ("result", "done")],
    );
    ensure!(cordoned >= Some(2.0), "{cordoned:?} were cordoned");
    Ok(())
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone() -> Result<()> {
    let scenario = Scenario::start().await?;
    let services: Api<Service> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let theirs = Service {
        metadata: ObjectMeta {
            name: Some("chat".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            ports: Some(vec![ServicePort {
                port: 1234,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    services.create(&PostParams::default(), &theirs).await?;
    let _operator = scenario.operator().await?;
    scenario.apply("chat", json!({})).await?;
    let message = scenario.condition("chat", ("Stalled", "True", "NotOurs")).await?;
    ensure!(message.contains("Service chat"), "{message}");
    scenario.event("chat", "NotOurs").await?;
    scenario.objects().deployment("chat").await?;
    let found = services
        .get("chat")
        .await?
        .spec
        .and_then(|spec| spec.ports)
        .unwrap_or_default();
    ensure!(found[0].port == 1234, "{found:?}");

    services.delete("chat", &DeleteParams::default()).await?;
    scenario
        .condition("chat", ("Stalled", "False", "NoError"))
        .await?;
    scenario.objects().wait(Kind::Service, "chat").await.map(drop)
}
