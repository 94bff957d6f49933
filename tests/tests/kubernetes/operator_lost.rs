//! The operator that leads dies in the middle of a drain; the next one finishes it.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, get, kill, operator, scenario};

#[tokio::test]
async fn the_next_operator_finishes_what_the_last_one_began() -> Result<()> {
    scenario("operator-lost", async |namespace| {
        let chat = Chat::start(namespace, "chat", &Chat::spec(3, 1)).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 20).await?;
        clients.progress(20, SOON).await?;
        let former = chat.gateways().await?;
        // Slowly, so that there is a middle.
        let change = json!({ "reconnectsPerSecond": 1, "gateways": { "config": { "workers": 1 } } });
        chat.patch(&change).await?;
        chat.wait_reason("Reconciling", "RevisionDraining", START).await?;
        let leader = leader().await?;
        kill(operator::NAMESPACE, &leader, "operator").await?;
        chat.wait_rolled(&former, START).await?;
        let summary = clients.finish().await?;
        ensure!(summary.most_reconnects <= 1, "{summary:?}");
        Ok(())
    })
    .await
}

/// The pod whose operator leads.
async fn leader() -> Result<String> {
    let lease = get(operator::NAMESPACE, "lease", "natter-operator").await?;
    let holder = lease["spec"]["holderIdentity"].as_str();
    Ok(holder.context("nobody leads")?.to_owned())
}
