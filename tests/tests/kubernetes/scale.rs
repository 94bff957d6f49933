//! More gateways and fewer again: nobody loses a message, and only who is on a gateway that goes has to move.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, kubectl, scenario};

#[tokio::test]
async fn two_gateways_become_four_and_two_again() -> Result<()> {
    scenario("scale", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        let first = Clients::join(&chat, Chat::ROOM, 20).await?;
        first.progress(50, SOON).await?;
        // As people and autoscalers do it.
        let scale = ["scale", "chatcluster/chat", "--namespace", namespace];
        kubectl(&[&scale[..], &["--replicas=4"]].concat()).await?;
        chat.wait_settled(START).await?;
        ensure!(chat.gateways().await?.len() == 4, "{:?}", chat.gateways().await?);
        let second = Clients::join(&chat, "team:other", 20).await?;
        second.progress(50, SOON).await?;
        let before = first.progress(1, SOON).await?;
        ensure!(before.reconnects == 0, "growing moved clients: {before:?}");

        chat.patch(&json!({ "gateways": { "replicas": 2 } })).await?;
        chat.wait_gateways(2, START).await?;
        for clients in [first, second] {
            clients.progress(50, SOON).await?;
            let summary = clients.finish().await?;
            ensure!(summary.most_reconnects <= 1, "{summary:?}");
        }
        Ok(())
    })
    .await
}
