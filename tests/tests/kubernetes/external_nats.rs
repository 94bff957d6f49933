//! A NATS that is somebody else's goes away and comes back: condition, event and readiness tell the same story, clients stay,
//! and nothing that was acknowledged is lost.

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Chat, Clients, ExternalNats, SOON, START, scenario};

#[tokio::test]
async fn all_that_tell_of_an_external_nats_agree() -> Result<()> {
    scenario("external", async |namespace| {
        let nats = ExternalNats::start(namespace).await?;
        let mut spec = Chat::spec(2, 1);
        spec["bus"] = nats.bus();
        let chat = Chat::start(namespace, "chat", &spec).await?;
        // Of no use without its bus, and says so to the Service.
        let mut critical = spec.clone();
        critical["gateways"]["replicas"] = json!(1);
        critical["gateways"]["config"]["bus"] = json!({ "critical": true });
        let critical = Chat::start(namespace, "critical", &critical).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 20).await?;
        let before = clients.progress(50, SOON).await?;
        let gateways = chat.containers().await?;
        for chat in [&chat, &critical] {
            chat.wait_reason("BusReady", "Connected", SOON).await?;
        }

        nats.stop().await?;
        for chat in [&chat, &critical] {
            let condition = chat.wait_reason("BusReady", "BusDown", START).await?;
            ensure!(condition["status"] == "False", "{condition}");
            chat.wait_event("BusDown", SOON).await?;
        }
        wait_readiness(&chat, "down").await?;
        eventually("the critical gateway is not ready", SOON, async || {
            let ready = critical.containers().await?;
            ensure!(ready.is_empty(), "{ready:?}");
            anyhow::Ok(())
        })
        .await?;

        nats.start_again().await?;
        for chat in [&chat, &critical] {
            chat.wait_reason("BusReady", "Connected", START).await?;
            chat.wait_settled(START).await?;
            wait_readiness(chat, "up").await?;
        }
        clients.progress(50, START).await?;
        let now = chat.containers().await?;
        ensure!(now == gateways, "{gateways:?} before, {now:?} now");
        let summary = clients.finish().await?;
        ensure!(
            summary.reconnects == 0 && summary.acknowledged >= before.acknowledged + 50,
            "{summary:?}"
        );
        Ok(())
    })
    .await
}

async fn wait_readiness(chat: &Chat, bus: &str) -> Result<()> {
    eventually(&format!("every /readyz says bus: {bus}"), SOON, async || {
        let bodies = chat.readiness().await?;
        let agree = bodies
            .iter()
            .all(|body| body["bus"] == bus && body["ready"] == true);
        ensure!(agree && !bodies.is_empty(), "{bodies:?}");
        anyhow::Ok(())
    })
    .await
}
