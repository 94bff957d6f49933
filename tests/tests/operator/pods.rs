//! What pods do, and what is said and done about it. The kubelet's part is played; its words are a real kubelet's.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use natter_operator::build::file_hash;
use natter_operator::kinds::Kind;
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Kubelet, LIMIT, Scenario};

#[tokio::test]
async fn a_cluster_becomes_ready_and_says_how_many_serve() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario
        .apply("chat", json!({"spec": {"gateways": {"replicas": 3}}}))
        .await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    scenario
        .condition("chat", ("Reconciling", "False", "UpToDate"))
        .await?;
    let status = scenario.get("chat").await?.status.unwrap_or_default();
    let summary = |count: Option<natter_operator::api::status::Count>| count.unwrap_or_default().summary;
    ensure!(status.replicas == 3, "{status:?}");
    ensure!(
        status
            .selector
            .as_deref()
            .is_some_and(|selector| selector.contains("app.kubernetes.io/instance=chat"))
    );
    ensure!(summary(status.gateways) == "3/3" && summary(status.nats) == "3/3");
    let scale = scenario.clusters().get_scale("chat").await?;
    ensure!(
        scale.status.is_some_and(|status| status.replicas == 3),
        "kubectl scale sees another number"
    );
    Ok(())
}

#[tokio::test]
async fn the_kubelets_words_become_condition_and_event() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let troubles = [
        (
            "pull",
            "ImagePullBackOff",
            "Back-off pulling image \"registry.example/none:1\"",
            "ImageNotPulled",
        ),
        (
            "secret",
            "CreateContainerConfigError",
            "secret \"chat-api\" not found",
            "ReferenceMissing",
        ),
        (
            "key",
            "CreateContainerConfigError",
            "couldn't find key keys in Secret default/chat-api",
            "ReferenceMissing",
        ),
    ];
    for (name, reason, words, expected) in troubles {
        kubelet.hold(&format!("{name}-gateway"), reason, words);
        scenario.apply(name, json!({})).await?;
        let message = scenario
            .condition(name, ("GatewaysAvailable", "False", expected))
            .await?;
        ensure!(message.contains(words), "{message}");
        let note = scenario.event(name, expected).await?;
        ensure!(note.contains(words), "{note}");
    }
    kubelet.release().await?;
    for (name, ..) in troubles {
        scenario.condition(name, ("Ready", "True", "AllReady")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_refuses_its_configuration_says_why() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let words = "client.ping_interval: 0s is too short; allowed: at least 1s\nworkers: 99 is too much; allowed: at most 64\n";
    kubelet.fail("chat-gateway", 64, words);
    kubelet.hold("chat-nats", "ErrImagePull", "no such image");
    scenario.apply("chat", json!({})).await?;
    let message = scenario
        .condition("chat", ("GatewaysAvailable", "False", "GatewayFails"))
        .await?;
    ensure!(
        message.contains("ended with code 64: client.ping_interval"),
        "{message}"
    );
    ensure!(message.ends_with("at most 64"), "{message}");
    // The servers are counted before their pods have met the kubelet.
    eventually("the image is named", LIMIT, async || {
        let message = scenario
            .condition("chat", ("BusReady", "False", "NoMajority"))
            .await?;
        ensure!(message.ends_with("pod chat-nats-0: no such image"), "{message}");
        Ok(())
    })
    .await?;
    kubelet.release().await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    Ok(())
}

#[tokio::test]
async fn gateways_of_a_former_revision_serve_until_the_new_ones_do() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let old = scenario.objects().deployment("chat").await?.name_any();

    kubelet.hold("chat-gateway", "ErrImagePull", "no such image");
    scenario
        .apply(
            "chat",
            json!({"spec": {"image": "registry.example/natter-gateway:2"}}),
        )
        .await?;
    let labels = ListParams::default().labels("app.kubernetes.io/instance=chat");
    eventually("both revisions are there", LIMIT, async || {
        let found = scenario
            .objects()
            .api(Kind::Deployment)
            .list(&labels)
            .await?
            .items;
        ensure!(found.len() == 2, "{} Deployments", found.len());
        Ok(())
    })
    .await?;
    eventually(
        "the condition says why the new ones do not start",
        LIMIT,
        async || {
            let message = scenario
                .condition("chat", ("Reconciling", "True", "ImageNotPulled"))
                .await?;
            ensure!(message.contains("no such image"), "{message}");
            Ok(())
        },
    )
    .await?;
    for (type_, status, reason) in [
        ("GatewaysAvailable", "True", "EnoughGateways"),
        ("Stalled", "True", "ImageNotPulled"),
        ("Ready", "False", "ImageNotPulled"),
    ] {
        scenario.condition("chat", (type_, status, reason)).await?;
    }
    scenario.objects().get(Kind::Deployment, &old).await?;

    kubelet.release().await?;
    scenario.objects().wait_gone(Kind::Deployment, &old).await?;
    scenario.objects().wait_gone(Kind::ConfigMap, &old).await?;
    scenario
        .condition("chat", ("Reconciling", "False", "UpToDate"))
        .await?;
    let status = scenario.get("chat").await?.status.unwrap_or_default();
    ensure!(
        status.image.as_deref() == Some("registry.example/natter-gateway:2"),
        "{status:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_reload_is_enough_where_the_gateway_says_so() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    scenario.apply("chat", json!({})).await?;
    let before = scenario.objects().deployment("chat").await?;
    scenario
        .apply(
            "chat",
            json!({"spec": {"gateways": {"config": {"client": {"channelLimit": 7}}}}}),
        )
        .await?;
    eventually("the configuration is written", LIMIT, async || {
        let map = scenario
            .objects()
            .get(Kind::ConfigMap, &before.name_any())
            .await?;
        let text = map.data["data"]["gateway.yaml"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ensure!(text.contains("\"channel_limit\": 7"), "{text}");
        Ok(())
    })
    .await?;
    let after = scenario.objects().deployment("chat").await?;
    ensure!(
        after.metadata.generation == before.metadata.generation,
        "the gateways are replaced"
    );
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_refuses_a_reload_is_named() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", json!({})).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let pods: Vec<_> = scenario.fleet("chat").await?.into_keys().collect();
    let file = async || {
        let deployment = scenario.objects().deployment("chat").await?;
        let map = scenario
            .objects()
            .get(Kind::ConfigMap, &deployment.name_any())
            .await?;
        let text = map.data["data"]["gateway.yaml"].as_str().unwrap_or_default();
        anyhow::Ok(file_hash(text))
    };
    let old = file().await?;
    for pod in &pods {
        kubelet.play(pod, |gateway| gateway.config = Some(old.clone()))?;
    }
    let config = json!({"spec": {"gateways": {"config": {"client": {"channelLimit": 7}}}}});
    scenario.apply("chat", config).await?;
    scenario
        .condition("chat", ("Reconciling", "True", "ConfigSpreading"))
        .await?;
    let new = file().await?;
    ensure!(new != old, "the configuration is the same");
    kubelet.play(&pods[0], |gateway| gateway.config = Some(new.clone()))?;
    kubelet.play(&pods[1], |gateway| {
        gateway.config_error = Some("client.channel_limit: no".to_owned());
    })?;
    let said = scenario
        .condition("chat", ("Stalled", "True", "ConfigRefused"))
        .await?;
    ensure!(
        said.contains(&pods[1]) && said.ends_with("client.channel_limit: no"),
        "{said}"
    );
    scenario.event("chat", "ConfigRefused").await?;

    kubelet.play(&pods[1], |gateway| {
        (gateway.config, gateway.config_error) = (Some(new.clone()), None);
    })?;
    scenario
        .condition("chat", ("Reconciling", "False", "UpToDate"))
        .await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    Ok(())
}

#[tokio::test]
async fn a_new_operator_offers_its_image_and_rolls_only_when_asked() -> Result<()> {
    let scenario = Scenario::start().await?;
    let image = |tag: &str| format!("registry.example/natter-gateway:{tag}");
    let operator = |tag: &str| scenario.builder().flag("--gateway-image", &image(tag));
    let first = operator("1").start().await?;
    scenario.apply("pinned", json!({})).await?;
    scenario
        .apply("follows", json!({"spec": {"imagePolicy": "FollowOperator"}}))
        .await?;
    for name in ["pinned", "follows"] {
        eventually("the image is resolved", LIMIT, async || {
            let status = scenario.get(name).await?.status.unwrap_or_default();
            ensure!(status.image == Some(image("1")), "{status:?}");
            Ok(())
        })
        .await?;
    }
    let before = scenario.objects().deployment("pinned").await?;
    first.terminate()?;
    first.wait_exit(LIMIT).await?;

    let _second = operator("2").start().await?;
    let message = scenario
        .condition("pinned", ("UpgradeAvailable", "True", "NewerImage"))
        .await?;
    ensure!(message.contains(&image("2")), "{message}");
    let after = scenario.objects().deployment("pinned").await?;
    ensure!(
        after.metadata.generation == before.metadata.generation,
        "a pinned gateway is rolled"
    );
    eventually("the follower is rolled to the new image", LIMIT, async || {
        let made = scenario.objects().made().await?;
        let images: Vec<_> = made
            .iter()
            .filter(|(kind, object)| *kind == Kind::Deployment && object.name_any().starts_with("follows"))
            .map(|(_, object)| object.data["spec"]["template"]["spec"]["containers"][0]["image"].clone())
            .collect();
        ensure!(images.contains(&json!(image("2"))), "{images:?}");
        Ok(())
    })
    .await?;
    // No gateway runs it yet: whoever pins the follower now gets what ran before.
    let status = scenario.get("follows").await?.status.unwrap_or_default();
    ensure!(status.image == Some(image("1")), "{status:?}");
    Ok(())
}
