//! Chat across two gateways; then the `ChatCluster` goes, and what happens to its messages is what `deletionPolicy` says.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, scenario};

#[tokio::test]
async fn a_cluster_made_again_finds_its_messages_until_it_is_told_to_leave_nothing() -> Result<()> {
    scenario("history", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 3)).await?;
        chat.wait_reached().await?;
        let clients = Clients::join(&chat, Chat::ROOM, 30).await?;
        clients.progress(100, SOON).await?;
        let connections = chat.metric("natter_connections").await?;
        ensure!(
            connections.len() == 2 && connections.values().all(|count| *count > 0),
            "clients are not on both gateways: {connections:?}"
        );
        let summary = clients.finish().await?;
        ensure!(summary.reconnects == 0, "{summary:?}");
        let stored = chat.history(Chat::ROOM).await?;
        ensure!(
            stored.len() as u64 == summary.acknowledged,
            "{} are stored, {summary:?}",
            stored.len()
        );

        chat.delete().await?;
        let note = chat.wait_event("Retained", SOON).await?;
        ensure!(note.contains("data-chat-nats-0"), "{note}");
        eventually("only volumes are left", START, async || {
            let left = chat.belongings().await?;
            let volumes = left
                .iter()
                .filter(|name| name.starts_with("persistentvolumeclaim/"))
                .count();
            ensure!(left.len() == 3 && volumes == 3, "{left:?}");
            anyhow::Ok(())
        })
        .await?;

        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 3)).await?;
        let found = chat.history(Chat::ROOM).await?;
        ensure!(
            found == stored,
            "of {} messages {} are found",
            stored.len(),
            found.len()
        );
        let summary = {
            let clients = Clients::join(&chat, "team:other", 10).await?;
            clients.progress(20, SOON).await?;
            clients.finish().await?
        };
        ensure!(summary.reconnects == 0, "{summary:?}");

        chat.patch(&json!({ "deletionPolicy": "Delete" })).await?;
        chat.wait_settled(START).await?;
        chat.delete().await?;
        eventually("nothing is left", Duration::from_mins(2), async || {
            let left = chat.belongings().await?;
            ensure!(left.is_empty(), "{left:?}");
            anyhow::Ok(())
        })
        .await
    })
    .await
}
