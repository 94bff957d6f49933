//! Changes that need other gateways. Every client moves at most once, at the pace of the budget, and gets every message; with
//! less room than that takes, clients may move again.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, next_gateway, scenario};

/// Connections a second that may be closed.
const BUDGET: u64 = 5;

#[tokio::test]
async fn an_image_roll_moves_every_client_once_within_the_budget() -> Result<()> {
    scenario("image", async |namespace| {
        let mut spec = Chat::spec(3, 1);
        spec["gateways"]["config"]["workers"] = json!(1);
        let chat = Chat::start(namespace, "chat", &spec).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 60).await?;
        clients.progress(20, SOON).await?;
        let former = chat.gateways().await?;
        chat.patch(&json!({ "image": next_gateway(), "reconnectsPerSecond": BUDGET }))
            .await?;
        chat.wait_rolled(&former, START).await?;
        clients.progress(20, SOON).await?;
        let summary = clients.finish().await?;
        ensure!(
            summary.most_reconnects == 1 && summary.reconnects == 60,
            "every client is on other gateways, and moved once: {summary:?}"
        );
        summary.keeps(BUDGET)
    })
    .await
}

#[tokio::test]
async fn a_setting_rolled_with_one_gateway_to_spare_moves_clients_at_most_once_a_turn() -> Result<()> {
    scenario("surge", async |namespace| {
        let mut spec = Chat::spec(3, 1);
        spec["rollout"] = json!({ "maxSurge": 1 });
        let chat = Chat::start(namespace, "chat", &spec).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 30).await?;
        clients.progress(20, SOON).await?;
        let former = chat.gateways().await?;
        chat.patch(&json!({ "gateways": { "config": { "workers": 1 } } }))
            .await?;
        chat.wait_rolled(&former, START).await?;
        clients.progress(20, SOON).await?;
        let summary = clients.finish().await?;
        ensure!(
            summary.reconnects >= 30 && summary.most_reconnects <= 3,
            "a client moves with each of three turns at most: {summary:?}"
        );
        Ok(())
    })
    .await
}
