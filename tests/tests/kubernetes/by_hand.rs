//! Somebody edits or deletes what belongs to a `ChatCluster`: it is put right.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Chat, SOON, START, delete, get, kubectl, operator, scenario};

#[tokio::test]
async fn every_object_that_is_deleted_comes_back() -> Result<()> {
    scenario("deleted", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        let objects = chat.objects().await?;
        ensure!(objects.len() >= 10, "only {objects:?}");
        for object in &objects {
            let (kind, name) = object.split_once('/').context("an object without a kind")?;
            let before = uid(namespace, kind, name).await?;
            delete(namespace, kind, name).await?;
            eventually(&format!("{object} is back"), SOON, async || {
                let now = uid(namespace, kind, name).await?;
                ensure!(now != before, "it is the old one");
                anyhow::Ok(())
            })
            .await?;
        }
        chat.wait_settled(START).await.map(drop)
    })
    .await
}

/// The operator sees no Secret: it makes one again for who cannot start without it.
#[tokio::test]
async fn secrets_that_are_deleted_are_there_for_who_starts() -> Result<()> {
    scenario("deleted-secrets", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(1, 1)).await?;
        for (secret, is_server) in [
            ("chat-nats-users", true),
            ("chat-nats-users", false),
            ("chat-gateway-control", false),
        ] {
            let before = get(namespace, "secret", secret).await?["data"].clone();
            let pods = if is_server {
                chat.servers().await?
            } else {
                chat.gateways().await?
            };
            delete(namespace, "secret", secret).await?;
            for pod in &pods {
                delete(namespace, "pod", pod).await?;
            }
            eventually(&format!("{secret} is back"), START, async || {
                let now = get(namespace, "secret", secret).await?["data"].clone();
                // Not compared in words, which would be shown.
                ensure!(now == before, "it is another one");
                anyhow::Ok(())
            })
            .await?;
            chat.wait_settled(START).await?;
            not_shown(&before).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_edit_is_undone() -> Result<()> {
    scenario("edited", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        for object in chat.objects().await? {
            let (kind, name) = object.split_once('/').context("an object without a kind")?;
            let whole = get(namespace, kind, name).await?;
            let edit = edit(kind, &whole);
            let args = ["patch", kind, name, "--namespace", namespace, "--type=merge"];
            kubectl(&[&args[..], &["--patch", &edit.to_string()]].concat()).await?;
            eventually(&format!("{object} is as before"), SOON, async || {
                let now = get(namespace, kind, name).await?;
                for part in ["spec", "data"] {
                    ensure!(now[part] == whole[part], "{}", now[part]);
                }
                let labels = (&now["metadata"]["labels"], &whole["metadata"]["labels"]);
                ensure!(labels.0 == labels.1, "{}", labels.0);
                anyhow::Ok(())
            })
            .await?;
        }
        chat.wait_settled(START).await.map(drop)
    })
    .await
}

/// Neither the log nor a metric of an operator holds anything of a Secret's data.
async fn not_shown(data: &Value) -> Result<()> {
    let shown = operator::shown().await?;
    ensure!(!shown.is_empty(), "no operator says anything");
    for (entry, value) in data.as_object().context("a Secret without data")? {
        let text = String::from_utf8(STANDARD.decode(value.as_str().unwrap_or_default())?)?;
        ensure!(!text.is_empty(), "{entry} is empty");
        let found = text.lines().any(|line| shown.contains(line));
        ensure!(!found, "{entry} is shown");
    }
    Ok(())
}

async fn uid(namespace: &str, kind: &str, name: &str) -> Result<Value> {
    Ok(get(namespace, kind, name).await?["metadata"]["uid"].clone())
}

/// A change of something that the operator decides.
fn edit(kind: &str, object: &Value) -> Value {
    match kind.split('.').next().unwrap_or(kind) {
        "service" => json!({ "spec": { "selector": { "app.kubernetes.io/instance": "another" } } }),
        "deployment" | "statefulset" => json!({ "spec": { "replicas": 0 } }),
        "configmap" => {
            let keys = object["data"].as_object().into_iter().flatten();
            let emptied: serde_json::Map<_, _> = keys.map(|(key, _)| (key.clone(), json!("{}"))).collect();
            json!({ "data": emptied })
        }
        "poddisruptionbudget" => json!({ "spec": { "maxUnavailable": 2 } }),
        "networkpolicy" => json!({ "spec": { "ingress": [] } }),
        _ => json!({ "metadata": { "labels": { "app.kubernetes.io/component": "another" } } }),
    }
}
