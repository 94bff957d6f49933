//! The number of gateways follows the connections, waits while a gateway does not say how many it has, and only who is on the
//! gateway that goes has to move.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{Chat, Clients, SOON, START, operator, rejoin, scenario, sever};

/// As clients publish: for so many messages twice the window passes.
const TWO_WINDOWS: u64 = 20 * 20;

#[tokio::test]
async fn the_number_of_gateways_follows_connections_and_waits_for_the_silent() -> Result<()> {
    scenario("autoscaling", async |namespace| {
        let chat = Chat::start(namespace, "chat", &spec()).await?;
        let gateways = chat.gateways().await?;
        let [first] = &gateways[..] else {
            anyhow::bail!("there is not one gateway: {gateways:?}");
        };
        let staying = Clients::join(&chat, Chat::ROOM, 6).await?;
        let crowd = Clients::join(&chat, "team:crowd", 20).await?;
        let scaling = wait_size(&chat, 3).await?;
        ensure!(scaling["connections"].as_u64() >= Some(26), "{scaling}");
        decided(&scaling, "up from ", "connections of 12 for each")?;
        let late = Clients::join(&chat, "team:late", 6).await?;

        let connections = outage(namespace, &chat, first, crowd).await?;
        let scaling = wait_size(&chat, 2).await?;
        decided(&scaling, "down from 3", "for 10s")?;
        late.progress(20, SOON).await?;
        judge(&chat, first, &connections, [staying, late]).await
    })
    .await
}

fn spec() -> Value {
    let mut spec = Chat::spec(1, 1);
    spec["scaling"] = json!({
        "minReplicas": 1, "maxReplicas": 3, "connectionsPerGateway": 12, "scaleDownWindow": "10s",
    });
    // Only removals move anybody.
    spec["rebalance"] = json!({ "enabled": false });
    spec
}

/// The operator does not hear of the fullest gateway while the crowd leaves, and nothing goes. Gives the connections of every
/// gateway afterwards.
async fn outage(namespace: &str, chat: &Chat, silent: &str, crowd: Clients) -> Result<BTreeMap<String, u64>> {
    let gateways = chat.gateways().await?;
    let operator = operator::leader_address().await?;
    sever(namespace, silent, "gateway", &operator).await?;
    let held = chat.wait_reason("ScalingHeld", "SamplesMissing", START).await?;
    ensure!(held["status"] == "True", "{held}");
    let note = chat.wait_event("SamplesMissing", SOON).await?;
    ensure!(note.contains(silent), "{note}");
    let left = crowd.finish().await?;
    ensure!(left.reconnects == 0, "growing moved clients: {left:?}");
    let witness = Clients::join(chat, "team:witness", 1).await?;
    witness.progress(TWO_WINDOWS, START).await?;
    ensure!(witness.finish().await?.reconnects == 0, "the witness was moved");
    let scaling = scaling(chat).await?;
    ensure!(
        scaling["desired"] == 3 && scaling["held"].is_string() && scaling["lowerSince"].is_null(),
        "{scaling}"
    );
    ensure!(chat.gateways().await? == gateways, "other gateways run");

    let connections = chat.connections().await?;
    rejoin(namespace, silent, "gateway", &operator).await?;
    let told = chat.wait_reason("ScalingHeld", "NotHeld", SOON).await?;
    ensure!(told["status"] == "False", "{told}");
    Ok(connections)
}

/// Who was on the gateway that went has moved once, nobody else at all.
async fn judge(
    chat: &Chat,
    first: &str,
    before: &BTreeMap<String, u64>,
    clients: [Clients; 2],
) -> Result<()> {
    let gateways = chat.gateways().await?;
    let mut gone = before.iter().filter(|(pod, _)| !gateways.contains(pod));
    let (victim, moved) = gone.next().context("no gateway went")?;
    ensure!(victim != first, "the fullest went: {before:?}");
    let (mut reconnects, mut most) = (0, 0);
    for clients in clients {
        let summary = clients.finish().await?;
        reconnects += summary.reconnects;
        most = most.max(summary.most_reconnects);
    }
    ensure!(
        reconnects == *moved && most <= 1,
        "{reconnects} reconnects, at most {most} of one client; {victim} went of {before:?}"
    );
    Ok(())
}

/// Waits until so many gateways serve as shall be, and no other is there.
async fn wait_size(chat: &Chat, size: usize) -> Result<Value> {
    let scaling = eventually(&format!("{size} gateways serve"), START, async || {
        let scaling = scaling(chat).await?;
        let all = ["desired", "serving"].iter().all(|count| scaling[count] == size);
        ensure!(all && scaling["draining"] == 0, "{scaling}");
        Ok(scaling)
    })
    .await?;
    chat.wait_gateways(size, START).await?;
    Ok(scaling)
}

async fn scaling(chat: &Chat) -> Result<Value> {
    Ok(chat.object().await?["status"]["scaling"].clone())
}

fn decided(scaling: &Value, what: &str, why: &str) -> Result<()> {
    let decision = scaling["decision"].as_str().unwrap_or_default();
    ensure!(decision.starts_with(what) && decision.contains(why), "{scaling}");
    Ok(())
}
