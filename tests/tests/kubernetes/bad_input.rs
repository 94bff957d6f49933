//! What cannot work: it is refused, or the condition names the cause in the words of whoever found it, and other clusters
//! are served all the while.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::{Chat, SOON, START, kubectl, scenario};

#[tokio::test]
async fn what_a_spec_may_not_say_is_refused_with_the_reason() -> Result<()> {
    scenario("refused", async |namespace| {
        for (part, reason) in [
            (
                json!({ "gateways": { "replica": 3 } }),
                "field not declared in schema",
            ),
            (
                json!({ "gateways": { "replicas": -1 } }),
                "should be greater than or equal to 0",
            ),
            (
                json!({ "bus": { "managed": { "replicas": 2 } } }),
                "replicas must be 1, 3 or 5",
            ),
            (json!({ "deletionPolicy": "Perhaps" }), "supported values"),
        ] {
            let mut spec = Chat::spec(1, 1);
            merge(&mut spec, &part);
            let refusal = Chat::apply(namespace, "chat", &spec).await.err();
            let refusal = refusal.map(|error| format!("{error:#}")).unwrap_or_default();
            ensure!(refusal.to_lowercase().contains(reason), "{part}: {refusal:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_keeps_pods_from_starting_is_named_and_holds_nobody_else() -> Result<()> {
    scenario("trouble", async |namespace| {
        let mut spec = Chat::spec(1, 1);
        spec["image"] = json!("localhost/there-is-no-such-image:1");
        let image = Chat::apply(namespace, "image", &spec).await?;
        let mut spec = Chat::spec(1, 1);
        spec["gateways"]["config"]["api"] = json!({ "keys": { "name": "no-such-secret", "key": "keys" } });
        let secret = Chat::apply(namespace, "secret", &spec).await?;
        let mut spec = Chat::spec(1, 1);
        spec["gateways"]["config"]["api"] = json!({ "keys": { "name": "api-keys", "key": "no-such-key" } });
        let key = Chat::apply(namespace, "key", &spec).await?;

        Chat::start(namespace, "chat", &Chat::spec(1, 1)).await?;
        for (chat, reason, word) in [
            (&image, "ImageNotPulled", "there-is-no-such-image"),
            (&secret, "ReferenceMissing", "no-such-secret"),
            (&key, "ReferenceMissing", "no-such-key"),
        ] {
            let condition = chat.wait_reason("GatewaysAvailable", reason, START).await?;
            let message = condition["message"].as_str().unwrap_or_default();
            ensure!(message.contains(word), "{condition}");
            chat.wait_event(reason, SOON).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn names_may_be_long_and_may_repeat_in_another_namespace() -> Result<()> {
    scenario("names", async |namespace| {
        let long = "a".repeat(63);
        let first = Chat::start(namespace, &long, &Chat::spec(1, 1)).await?;
        scenario("names-again", async |other| {
            let second = Chat::start(other, &long, &Chat::spec(1, 1)).await?;
            second.wait_settled(START).await?;
            first.wait_settled(START).await.map(drop)
        })
        .await?;
        first.wait_settled(START).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn a_namespace_goes_with_its_cluster() -> Result<()> {
    scenario("namespace", async |namespace| {
        let mut spec = Chat::spec(1, 1);
        spec["deletionPolicy"] = json!("Delete");
        Chat::start(namespace, "chat", &spec).await?;
        let limit = "--timeout=120s";
        kubectl(&["delete", "namespace", namespace, "--wait=true", limit])
            .await
            .map(drop)
    })
    .await
}

/// Lays `part` over `value`, object by object.
fn merge(value: &mut Value, part: &Value) {
    match (value, part) {
        (Value::Object(fields), Value::Object(parts)) => {
            for (name, part) in parts {
                merge(fields.entry(name).or_insert(Value::Null), part);
            }
        }
        (value, part) => *value = part.clone(),
    }
}
