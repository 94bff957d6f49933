//! A gateway dies without a word: its clients are elsewhere a moment later, with everything that was acknowledged.

use anyhow::{Context, Result, ensure};

use crate::support::{Chat, Clients, SOON, START, kill, scenario};

#[tokio::test]
async fn a_killed_gateway_costs_its_clients_one_reconnect_and_no_message() -> Result<()> {
    scenario("gateway-lost", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        chat.wait_reached().await?;
        let clients = Clients::join(&chat, Chat::ROOM, 30).await?;
        clients.progress(50, SOON).await?;
        let connections = chat.metric("natter_connections").await?;
        let (victim, lost) = connections.first_key_value().context("there are no gateways")?;
        kill(namespace, victim, "gateway").await?;
        clients.progress(100, SOON).await?;
        chat.wait_settled(START).await?;
        let summary = clients.finish().await?;
        ensure!(
            summary.most_reconnects == 1 && summary.reconnects == *lost,
            "{lost} clients were on the gateway that was killed: {summary:?}"
        );
        Ok(())
    })
    .await
}
