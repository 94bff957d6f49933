//! The operator that leads dies in the middle of a drain; another one finishes it, at the pace of the budget.

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{Chat, Clients, SOON, START, kill, kubectl, next_gateway, operator, scenario};

/// Connections a second that may be closed.
const BUDGET: u64 = 1;

#[tokio::test]
async fn the_next_operator_finishes_what_the_last_one_began() -> Result<()> {
    scenario("operator-lost", async |namespace| {
        let mut spec = Chat::spec(3, 1);
        spec["gateways"]["config"]["workers"] = json!(1);
        let chat = Chat::start(namespace, "chat", &spec).await?;
        let clients = Clients::join(&chat, Chat::ROOM, 30).await?;
        clients.progress(20, SOON).await?;
        let former = chat.gateways().await?;
        chat.patch(&json!({ "image": next_gateway(), "reconnectsPerSecond": BUDGET }))
            .await?;
        chat.wait_reason("Reconciling", "RevisionDraining", START).await?;
        let leader = operator::leader().await?;
        // Without a word; and the pod with it, so that its next container does not take the lease again.
        kill(operator::NAMESPACE, &leader, "operator").await?;
        let pod = ["delete", "pod", &leader, "--namespace", operator::NAMESPACE];
        kubectl(&[&pod[..], &["--wait=false"]].concat()).await?;
        undrained(&chat, &former).await?;
        eventually("another operator leads", START, async || {
            let now = operator::leader().await?;
            ensure!(now != leader, "{now} does");
            Ok(())
        })
        .await?;
        undrained(&chat, &former).await?;

        chat.wait_rolled(&former, START).await?;
        let summary = clients.finish().await?;
        ensure!(
            summary.most_reconnects == 1 && summary.reconnects == 30,
            "{summary:?}"
        );
        summary.keeps(BUDGET)
    })
    .await
}

/// Clients are left on gateways that go.
async fn undrained(chat: &Chat, former: &[String]) -> Result<()> {
    let connections = chat.connections().await?;
    let left: u64 = former.iter().filter_map(|pod| connections.get(pod)).sum();
    ensure!(left > 0, "the drain is over: {connections:?}");
    println!("{left} clients are left on former gateways");
    Ok(())
}
