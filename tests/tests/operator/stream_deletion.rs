//! `deletionPolicy: Delete` on an external NATS: the finalizer, the Job, and everything that can be in their way. The Job's pod
//! is played; where streams matter, the test runs in its place what the pod is to run.

mod support;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use natter_operator::crd;
use natter_operator::deletion::FINALIZER;
use natter_tests::kubernetes::{Operator, OperatorBuilder};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use self::support::{Going, left, streams};
use crate::support::{Kubelet, LIMIT, Scenario, install_definition, merge};

/// On a NATS that nobody has to be at: only the Job would talk to it. Gateways end at once.
fn external(change: &Value) -> Value {
    let spec = json!({"spec": {
        "deletionPolicy": "Delete",
        "bus": {"external": {"servers": ["nats://nats.example:4222"]}},
        "gateways": {"config": {"drain": {"accept": "0s", "duration": "0s"}}},
    }});
    merge(spec, change)
}

async fn has_finalizer(scenario: &Scenario, wanted: bool) -> Result<()> {
    eventually(&format!("finalizer: {wanted}"), LIMIT, async || {
        let cluster = scenario.get("chat").await?;
        let found = cluster
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER);
        ensure!(found == wanted, "{:?}", cluster.finalizers());
        Ok(())
    })
    .await
}

/// The operator has counted one deletion with this result.
async fn counted_once(operator: &Operator, result: &str) -> Result<()> {
    let metrics = operator.metrics().await?;
    let counted = metrics.value("natter_operator_stream_deletions_total", &[("result", result)]);
    ensure!(
        counted.is_some_and(|count| (count - 1.0).abs() < 0.1),
        "{counted:?}"
    );
    Ok(())
}

#[tokio::test]
async fn streams_go_with_the_cluster_after_its_gateways() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let scenario = Scenario::start().await?;
    let namespaces: Api<Namespace> = Api::all(scenario.client.clone());
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces
        .patch(
            &scenario.namespace,
            &PatchParams::default(),
            &Patch::Merge(restricted),
        )
        .await?;
    let operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let history = json!({"rooms": {"namespaces": [{"name": "log", "history": {}}]}});
    let bus = json!({"external": {"servers": [nats.url()]}});
    let cluster = external(&json!({"spec": {"bus": bus, "gateways": {"config": history}}}));
    scenario.apply("chat", cluster).await?;
    has_finalizer(&scenario, true).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    let prefix = format!("{}=chat_", scenario.namespace);
    streams::make(
        &nats,
        &[
            &format!("{prefix}log_0"),
            &format!("{}=chat-2_log_0", scenario.namespace),
        ],
    )
    .await?;

    scenario.delete("chat").await?;
    let going = Going::wait(&scenario, "chat").await?;
    ensure!(
        scenario.fleet("chat").await?.is_empty(),
        "gateways are there while streams are deleted"
    );
    scenario
        .condition("chat", ("Reconciling", "True", "DeletingStreams"))
        .await?;
    let said = going.run(&scenario).await?;
    ensure!(
        said.last()
            .is_some_and(|line| line == "no stream is left to delete"),
        "{said:?}"
    );
    kubelet.end(&going.pod, 0, "").await?;
    let note = scenario.event("chat", "StreamsDeleted").await?;
    ensure!(note.contains(&format!("{prefix}*")), "{note}");
    left(&scenario, "chat").await?;
    ensure!(streams::names(&nats).await? == [format!("{}=chat-2_log_0", scenario.namespace)]);
    counted_once(&operator, "deleted").await
}

#[tokio::test]
async fn the_finalizer_is_where_it_is_needed_and_nowhere_else() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    let policy = |policy: &str| external(&json!({"spec": {"deletionPolicy": policy}}));
    scenario.apply("chat", policy("Retain")).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    has_finalizer(&scenario, false).await?;
    scenario.apply("chat", policy("Delete")).await?;
    has_finalizer(&scenario, true).await?;
    scenario.apply("chat", policy("Retain")).await?;
    has_finalizer(&scenario, false).await?;

    scenario.delete("chat").await?;
    let note = scenario.event("chat", "Retained").await?;
    ensure!(
        note.contains(&format!("the streams {}=chat_* stay", scenario.namespace)),
        "{note}"
    );
    left(&scenario, "chat").await
}

#[tokio::test]
async fn whoever_changes_their_mind_keeps_the_streams() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", external(&json!({}))).await?;
    has_finalizer(&scenario, true).await?;
    scenario.delete("chat").await?;
    Going::wait(&scenario, "chat").await?;
    scenario
        .apply("chat", external(&json!({"spec": {"deletionPolicy": "Retain"}})))
        .await?;
    scenario.event("chat", "Retained").await?;
    left(&scenario, "chat").await
}

#[tokio::test]
async fn what_cannot_be_deleted_is_given_up_and_named() -> Result<()> {
    let scenario = Scenario::start().await?;
    let operator = scenario
        .builder()
        .flag("--stream-deletion-limit", "20s")
        .start()
        .await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", external(&json!({}))).await?;
    has_finalizer(&scenario, true).await?;
    scenario.delete("chat").await?;
    let going = Going::wait(&scenario, "chat").await?;
    kubelet
        .end(&going.pod, 1, "deleted one\nNATS does not permit it\n")
        .await?;
    let note = scenario.event("chat", "StreamsLeft").await?;
    ensure!(
        note.contains("=chat_*") && note.contains("NATS does not permit it"),
        "{note}"
    );
    ensure!(note.contains("delete-streams"), "{note}");
    left(&scenario, "chat").await?;
    counted_once(&operator, "left").await
}

/// Nothing was ever built, and nothing can be.
#[tokio::test]
async fn an_invalid_cluster_does_not_stay_for_ever() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario
        .builder()
        .flag("--stream-deletion-limit", "1s")
        .start()
        .await?;
    let misspelt =
        json!({"spec": {"gateways": {"podTemplate": {"spec": {"nodeSelektor": {"disk": "fast"}}}}}});
    scenario.apply("chat", external(&misspelt)).await?;
    has_finalizer(&scenario, true).await?;
    scenario
        .condition("chat", ("Stalled", "True", "InvalidSpec"))
        .await?;
    scenario.delete("chat").await?;
    let note = scenario.event("chat", "StreamsLeft").await?;
    ensure!(note.contains("nodeSelektor"), "{note}");
    left(&scenario, "chat").await
}

#[tokio::test]
async fn one_that_cannot_be_read_does_not_stay_for_ever() -> Result<()> {
    let scenario = Scenario::alone().await?;
    let mut definition = serde_json::to_value(crd::chat_cluster()?)?;
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    install_definition(&scenario.client, &serde_json::from_value(definition)?).await?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("natter.dev", "v1alpha1", "ChatCluster"));
    let raw: Api<DynamicObject> =
        Api::namespaced_with(scenario.client.clone(), &scenario.namespace, &resource);
    let mut bad = DynamicObject::new("chat", &resource);
    bad.metadata.finalizers = Some(vec!["test.example/other".to_owned(), FINALIZER.to_owned()]);
    bad.data = json!({"spec": {"gateways": {"config": "none"}}});
    eventually("the server takes what cannot be read", LIMIT, async || {
        raw.create(&PostParams::default(), &bad).await.map(drop)
    })
    .await?;
    let _operator = scenario
        .builder()
        .flag("--stream-deletion-limit", "1s")
        .start()
        .await?;
    raw.delete("chat", &DeleteParams::default()).await?;
    let note = scenario.event("chat", "StreamsLeft").await?;
    ensure!(note.contains("cannot be read"), "{note}");
    eventually("only the finalizer of somebody else is left", LIMIT, async || {
        let found = raw.get("chat").await?;
        ensure!(
            found.finalizers() == ["test.example/other"],
            "{:?}",
            found.finalizers()
        );
        anyhow::Ok(())
    })
    .await
}

#[tokio::test]
async fn an_image_that_does_not_pull_is_told_and_can_be_put_right() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    kubelet.hold("delete-streams", "ImagePullBackOff", "no such image");
    scenario.apply("chat", external(&json!({}))).await?;
    has_finalizer(&scenario, true).await?;
    scenario.delete("chat").await?;
    let stuck = Going::wait(&scenario, "chat").await?;
    eventually("the condition names the reason", LIMIT, async || {
        let told = scenario
            .condition("chat", ("Reconciling", "True", "DeletingStreams"))
            .await?;
        ensure!(told.contains("no such image"), "{told}");
        anyhow::Ok(())
    })
    .await?;
    kubelet.release_new();
    scenario
        .apply(
            "chat",
            external(&json!({"spec": {"image": "registry.example/gateway:2"}})),
        )
        .await?;
    let going = eventually("another Job", LIMIT, async || {
        let going = Going::wait(&scenario, "chat").await?;
        ensure!(going.job != stuck.job, "{}", going.job);
        anyhow::Ok(going)
    })
    .await?;
    ensure!(going.image()? == "registry.example/gateway:2");
    kubelet.end(&going.pod, 0, "").await?;
    scenario.event("chat", "StreamsDeleted").await?;
    left(&scenario, "chat").await
}

/// The next operator reads off the objects how far the former one was; and while nothing happens nothing is written.
#[tokio::test]
async fn another_operator_goes_on_and_waiting_writes_nothing() -> Result<()> {
    let scenario = Scenario::start().await?;
    let first = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", external(&json!({}))).await?;
    has_finalizer(&scenario, true).await?;
    scenario.delete("chat").await?;
    let going = Going::wait(&scenario, "chat").await?;
    first.terminate()?;
    first.wait_exit(LIMIT).await?;

    let second = scenario.operator().await?;
    scenario
        .condition("chat", ("Reconciling", "True", "DeletingStreams"))
        .await?;
    let counted = async |family: &str| anyhow::Ok(second.metrics().await?.sum(family));
    let touched = async |round: u32| {
        let before = counted("natter_operator_reconciles_total").await?;
        let touch = json!({"metadata": {"annotations": {"test.example/round": round.to_string()}}});
        scenario
            .clusters()
            .patch("chat", &PatchParams::default(), &Patch::Merge(touch))
            .await?;
        eventually("it is looked at again", LIMIT, async || {
            ensure!(counted("natter_operator_reconciles_total").await? > before);
            anyhow::Ok(())
        })
        .await
    };
    touched(0).await?;
    let writes = async || {
        let status = counted("natter_operator_status_writes_total").await?;
        anyhow::Ok(status + counted("natter_operator_writes_total").await?)
    };
    let before = writes().await?;
    for round in 1..4 {
        touched(round).await?;
    }
    ensure!((writes().await? - before).abs() < 0.1, "waiting writes");
    ensure!(
        Going::wait(&scenario, "chat").await?.pod == going.pod,
        "another Job"
    );
    kubelet.end(&going.pod, 0, "").await?;
    scenario.event("chat", "StreamsDeleted").await?;
    left(&scenario, "chat").await
}

/// Kubernetes then deletes first what the cluster owns, and would delete the Job as well.
#[tokio::test]
async fn a_deletion_in_the_foreground_deletes_streams_too() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    let kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", external(&json!({}))).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    scenario
        .clusters()
        .delete("chat", &DeleteParams::foreground())
        .await?;
    let going = Going::wait(&scenario, "chat").await?;
    kubelet.end(&going.pod, 0, "").await?;
    scenario.event("chat", "StreamsDeleted").await?;
    left(&scenario, "chat").await
}

#[tokio::test]
async fn a_namespace_that_is_deleted_is_not_held_up() -> Result<()> {
    let (scenario, lease) = (Scenario::start().await?, Scenario::start().await?);
    let operator = OperatorBuilder::new(scenario.kubeconfig())
        .flag("--namespace", &scenario.namespace)
        .flag("--lease-namespace", &lease.namespace)
        .start()
        .await?;
    let _kubelet = Kubelet::start(&scenario.client, &scenario.namespace);
    scenario.apply("chat", external(&json!({}))).await?;
    scenario.condition("chat", ("Ready", "True", "AllReady")).await?;
    scenario.delete_namespace().await?;
    let logs = operator.logs();
    let told = logs
        .iter()
        .any(|line| line.text.contains("the namespace is being deleted"));
    ensure!(told, "the log does not say which streams are left");
    operator
        .get("/livez")
        .await
        .map(drop)
        .context("the operator ended")
}
