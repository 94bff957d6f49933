//! A setting that gateways can take while they run: no pod changes, no client notices.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, scenario};

const RELOADS: &str = r#"natter_config_reloads_total{result="applied"}"#;
/// The kubelet writes a changed `ConfigMap` to its volume within its period of a minute.
const VOLUME: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_setting_reaches_running_gateways() -> Result<()> {
    scenario("config", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(2, 1)).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 20).await?;
        let gateways = chat.gateways().await?;
        let before = chat.metric(RELOADS).await?;

        let config = json!({ "client": { "anonymous": "allow", "channelLimit": 7 } });
        chat.patch(&json!({ "gateways": { "config": config } })).await?;
        eventually("every gateway read the change", VOLUME, async || {
            let now = chat.metric(RELOADS).await?;
            let all = now.iter().all(|(pod, count)| Some(count) > before.get(pod));
            ensure!(all, "{now:?}, {before:?} before");
            anyhow::Ok(())
        })
        .await?;
        chat.wait_settled(START).await?;
        clients.progress(20, SOON).await?;
        ensure!(chat.gateways().await? == gateways, "other gateways run");
        let summary = clients.finish().await?;
        ensure!(summary.reconnects == 0, "{summary:?}");
        Ok(())
    })
    .await
}
