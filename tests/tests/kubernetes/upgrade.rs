//! Operator and chart are upgraded: gateways do not notice. The newer gateway is offered, and taken when the spec asks for it.

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, next_gateway, operator, scenario};

#[tokio::test]
async fn an_upgrade_restarts_no_gateway_until_the_spec_asks_for_it() -> Result<()> {
    scenario("upgrade", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 20).await?;
        let gateways = chat.containers().await?;
        let operators = operator::releases().await?;

        operator::upgrade().await?;
        eventually("a new operator leads", START, async || {
            let leader = operator::leader().await?;
            ensure!(!operators.contains_key(&leader), "{leader} does");
            Ok(())
        })
        .await?;
        let offer = chat.wait_reason("UpgradeAvailable", "NewerImage", START).await?;
        let message = offer["message"].as_str().unwrap_or_default();
        ensure!(message.contains(&next_gateway()), "{offer}");
        let now = operator::releases().await?;
        let renewed = |release: &String| !operators.values().any(|former| former == release);
        ensure!(now.values().all(renewed), "{operators:?} before, {now:?} now");
        chat.wait_settled(START).await?;
        let seen = clients.progress(20, SOON).await?;
        ensure!(seen.reconnects == 0, "{seen:?}");
        let now = chat.containers().await?;
        ensure!(now == gateways, "{gateways:?} before, {now:?} now");

        let former = chat.gateways().await?;
        chat.patch(&json!({ "image": next_gateway() })).await?;
        chat.wait_rolled(&former, START).await?;
        chat.wait_reason("UpgradeAvailable", "NothingNewer", SOON).await?;
        let summary = clients.finish().await?;
        ensure!(
            summary.most_reconnects == 1 && summary.reconnects == 20,
            "{summary:?}"
        );
        // The other scenarios are about the operator of this chart.
        operator::install().await
    })
    .await
}
