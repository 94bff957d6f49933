//! A revision whose gateways never become ready: the roll stops and says so, the former gateways go on, and who puts the spec
//! back has what there was.

use anyhow::{Result, ensure};
use natter_operator::api::bus::ManagedNats;
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, scenario};

#[tokio::test]
async fn a_revision_that_does_not_start_cuts_nobody() -> Result<()> {
    scenario("stalled", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 20).await?;
        let gateways = chat.containers().await?;
        // A program that is there, starts, and refuses to be a gateway.
        chat.patch(&json!({ "image": ManagedNats::default().image }))
            .await?;
        let stalled = chat.wait_reason("Stalled", "GatewayFails", START).await?;
        ensure!(stalled["status"] == "True", "{stalled}");
        chat.wait_event("GatewayFails", SOON).await?;
        clients.progress(50, SOON).await?;
        let now = chat.containers().await?;
        let kept = gateways.iter().all(|gateway| now.contains(gateway));
        ensure!(kept, "{gateways:?} before, {now:?} now");

        chat.patch(&json!({ "image": null })).await?;
        chat.wait_gateways(2, START).await?;
        let now = chat.containers().await?;
        ensure!(now == gateways, "{gateways:?} before, {now:?} now");
        let summary = clients.finish().await?;
        ensure!(summary.reconnects == 0, "{summary:?}");
        Ok(())
    })
    .await
}
