//! What a cluster consists of: everything is made, put right when somebody changes it, and gone when it is not wanted.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use natter_operator::kinds::Kind;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{LIMIT, Scenario};

/// Everything but what other projects define.
fn full() -> Value {
    json!({"spec": {"exposure": {"ingress": {"hosts": ["chat.example"]}}}})
}

async fn made(scenario: &Scenario, count: usize) -> Result<Vec<String>> {
    eventually("all objects are there", LIMIT, async || {
        let names = scenario.objects().names().await?;
        ensure!(names.len() == count, "{names:?}");
        Ok(names)
    })
    .await
}

#[tokio::test]
async fn a_cluster_has_all_its_parts_and_only_the_wanted_ones() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    scenario.apply("chat", full()).await?;
    let deployment = scenario.objects().deployment("chat").await?.name_any();
    let mut expected = [
        "ServiceAccount chat-gateway",
        &format!("ConfigMap {deployment}"),
        "ConfigMap chat-nats",
        "Service chat",
        "Service chat-gateway",
        "Service chat-nats",
        "Service chat-nats-headless",
        "NetworkPolicy chat-gateway",
        "NetworkPolicy chat-nats",
        &format!("PodDisruptionBudget {deployment}"),
        "PodDisruptionBudget chat-nats",
        "StatefulSet chat-nats",
        &format!("Deployment {deployment}"),
        "Ingress chat",
    ]
    .map(str::to_owned);
    expected.sort();
    let mut names = made(&scenario, expected.len()).await?;
    names.sort();
    ensure!(names == expected, "{names:?}");

    scenario
        .apply(
            "chat",
            json!({"spec": {"exposure": {"networkPolicy": {"enabled": false}}}}),
        )
        .await?;
    for (kind, name) in [
        (Kind::Ingress, "chat"),
        (Kind::NetworkPolicy, "chat-gateway"),
        (Kind::NetworkPolicy, "chat-nats"),
    ] {
        scenario.objects().wait_gone(kind, name).await?;
    }

    scenario.delete("chat").await?;
    scenario.nothing_is_left().await
}

#[tokio::test]
async fn whatever_is_deleted_by_hand_is_made_again() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    scenario.apply("chat", full()).await?;
    made(&scenario, 14).await?;
    for (kind, object) in scenario.objects().made().await? {
        let (name, uid) = (object.name_any(), object.uid());
        scenario.objects().delete(kind, &name).await?;
        eventually(
            &format!("{} {name} is made again", kind.name()),
            LIMIT,
            async || {
                let found = scenario.objects().get(kind, &name).await?;
                ensure!(found.uid() != uid, "it is still the old one");
                Ok(())
            },
        )
        .await?;
    }
    made(&scenario, 14).await.map(drop)
}

/// An edit of each kind that takes something away or bends it. `ServiceAccount`: its labels, as it has no spec.
fn edits(kind: Kind) -> Value {
    match kind {
        Kind::ServiceAccount => json!({"automountServiceAccountToken": true}),
        Kind::ConfigMap => json!({"data": {"gateway.yaml": "{}", "nats.conf": null, "more": "x"}}),
        Kind::Service => json!({"spec": {"selector": {"app.kubernetes.io/component": "somebody"}}}),
        Kind::NetworkPolicy => json!({"spec": {"ingress": [{}]}}),
        Kind::PodDisruptionBudget => json!({"spec": {"maxUnavailable": 7}}),
        Kind::StatefulSet | Kind::Deployment => json!({"spec": {"replicas": 7}}),
        Kind::Ingress => json!({"spec": {"rules": [{"host": "somebody.example"}]}}),
        _ => json!({"spec": {}}),
    }
}

#[tokio::test]
async fn whatever_is_edited_by_hand_is_put_right() -> Result<()> {
    let scenario = Scenario::start().await?;
    let _operator = scenario.operator().await?;
    scenario.apply("chat", full()).await?;
    made(&scenario, 14).await?;
    for (kind, before) in scenario.objects().made().await? {
        let name = before.name_any();
        let edited = scenario.objects().edit(kind, &name, &edits(kind)).await?;
        ensure!(
            edited.resource_version() != before.resource_version(),
            "{name} took no edit"
        );
        put_right(&scenario, kind, &name, &wanted(&before)).await?;
        let labels = json!({"metadata": {
            "labels": {"app.kubernetes.io/instance": "somebody"},
            "annotations": {"somebody.example/note": "stays"},
        }});
        scenario.objects().edit(kind, &name, &labels).await?;
        put_right(&scenario, kind, &name, &wanted(&before)).await?;
        let found = scenario.objects().get(kind, &name).await?;
        let note = found.annotations().get("somebody.example/note");
        ensure!(
            note.is_some_and(|note| note == "stays"),
            "{name} lost somebody's annotation"
        );
    }
    Ok(())
}

async fn put_right(scenario: &Scenario, kind: Kind, name: &str, expected: &Value) -> Result<()> {
    eventually(
        &format!("{} {name} is put right", kind.name()),
        LIMIT,
        async || {
            let found = wanted(&scenario.objects().get(kind, name).await?);
            ensure!(found == *expected, "{found}");
            Ok(())
        },
    )
    .await
}

/// What of an object the operator decides, with the defaults of the API server.
fn wanted(object: &kube::api::DynamicObject) -> Value {
    let mut fields = object.data.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("status");
    }
    json!({"labels": object.labels(), "owners": object.owner_references(), "fields": fields})
}
