//! Changes that need other gateways: another image, a setting that only a restart takes. Every client moves at most once, and
//! gets every message.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::{Chat, Clients, SOON, START, scenario};

/// The same gateway under another tag, as `scripts/images/build` makes it.
fn other_image() -> String {
    format!(
        "ghcr.io/natter-chat/natter-gateway:{}-next",
        env!("CARGO_PKG_VERSION")
    )
}

#[tokio::test]
async fn an_image_roll_moves_every_client_once() -> Result<()> {
    let image = other_image();
    roll("image", &json!({ "image": image })).await
}

#[tokio::test]
async fn a_setting_that_needs_a_restart_moves_every_client_once() -> Result<()> {
    roll("restart", &json!({ "gateways": { "config": { "workers": 1 } } })).await
}

async fn roll(purpose: &str, change: &Value) -> Result<()> {
    scenario(purpose, async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(3, 1)).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 30).await?;
        clients.progress(50, SOON).await?;
        let former = chat.gateways().await?;
        chat.patch(change).await?;
        chat.wait_rolled(&former, START).await?;
        clients.progress(50, SOON).await?;
        let summary = clients.finish().await?;
        ensure!(
            summary.most_reconnects == 1 && summary.reconnects == 30,
            "every client is on other gateways, and moved once: {summary:?}"
        );
        Ok(())
    })
    .await
}
