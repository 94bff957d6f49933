//! Who may talk to a managed NATS. Only kind's network enforces policies: elsewhere this says that it was skipped, after
//! showing that without a policy the door would be open.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Chat, SOON, apply, cluster, get, kubectl, scenario};

/// Services of NATS, with a port of theirs.
const CLIENTS: (&str, u16) = ("chat-nats", 4222);
const MONITORING: (&str, u16) = ("chat-nats-headless", 8222);

#[tokio::test]
async fn strangers_do_not_reach_a_managed_nats() -> Result<()> {
    scenario("policy", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(1, 1)).await?;
        let said = stranger(namespace, &chat, CLIENTS).await?;
        if cluster(&["backend"]).await?.trim() == "kind" {
            ensure!(said.contains("not within"), "{said}");
            let said = stranger(namespace, &chat, MONITORING).await?;
            ensure!(said.contains("not within"), "{said}");
        } else {
            ensure!(said.contains("the server ended the connection"), "{said}");
            println!("skipped: this cluster's network enforces no NetworkPolicy");
        }
        Ok(())
    })
    .await
}

/// What a pod that is no gateway hears from a port of NATS. The probe takes it for a gateway: NATS hangs up on it.
async fn stranger(namespace: &str, chat: &Chat, (service, port): (&str, u16)) -> Result<String> {
    let pod = &chat.gateways().await?[0];
    let gateway = get(namespace, "pod", pod).await?;
    let container = &gateway["spec"]["containers"][0];
    let limit = Duration::from_secs(5);
    let url = format!("ws://{service}.{namespace}.svc:{port}");
    let name = format!("stranger-{port}");
    let stranger = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "securityContext": gateway["spec"]["securityContext"],
            "containers": [{
                "name": "probe", "image": container["image"], "securityContext": container["securityContext"],
                "args": ["probe", "--url", url, "--time-limit", format!("{}s", limit.as_secs())],
            }],
        },
    });
    apply(namespace, &stranger.to_string()).await?;
    eventually("the stranger gave up", SOON, async || {
        let pod: Value = get(namespace, "pod", &name).await?;
        ensure!(pod["status"]["phase"] == "Failed", "{}", pod["status"]);
        Ok(())
    })
    .await?;
    kubectl(&["logs", &name, "--namespace", namespace]).await
}
