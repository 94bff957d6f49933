//! Thousands of different rooms joined at once: all are joined, and nobody else is refused meanwhile.

use anyhow::{Result, ensure};
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{World, connect};

const CLIENTS: usize = 40;
const ROOMS_EACH: usize = 100;

/// Joins rooms of its own, with all commands in one message.
async fn join_many(gateway: &Gateway, namespace: &'static str, number: usize) -> Result<JoinSet<Result<()>>> {
    let mut client = connect(gateway).await?;
    let mut joining = JoinSet::new();
    joining.spawn(async move {
        let commands: Vec<Value> = (1..=ROOMS_EACH)
            .map(|id| json!({ "id": id, "subscribe": { "channel": format!("{namespace}{number}-{id}") } }))
            .collect();
        client.send_batch(&commands).await?;
        for _ in &commands {
            let reply = client.recv().await?;
            ensure!(reply.get("subscribe").is_some(), "{reply}");
        }
        Ok(())
    });
    Ok(joining)
}

async fn storm(namespace: &'static str) -> Result<()> {
    let world = World::nats("").await?;
    world.publish("log:first", "makes the streams").await?;
    let mut joining = Vec::new();
    for number in 0..CLIENTS {
        joining.push(join_many(&world.gateway, namespace, number).await?);
    }
    let mut published = 0;
    for mut joining in joining {
        while !joining.is_empty() {
            // Somebody else's publications find room in the client's queue all the time.
            world.publish("log:other", published).await?;
            published += 1;
            if let Some(joined) = joining.try_join_next() {
                joined??;
            }
        }
    }
    let metrics = world.gateway.metrics().await?;
    let joins = metrics.value("natter_joins_total", &[("result", "ok")]);
    assert_eq!(
        joins.map(|joins| joins.to_string()),
        Some((CLIENTS * ROOMS_EACH).to_string())
    );
    Ok(())
}

#[tokio::test]
async fn thousands_of_durable_rooms_at_once_are_all_joined() -> Result<()> {
    storm("log:").await
}

#[tokio::test]
async fn thousands_of_ephemeral_rooms_at_once_are_all_joined() -> Result<()> {
    storm("").await
}
