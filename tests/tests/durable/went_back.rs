//! A stream that loses its end and gives sequences again, although it is the same stream for NATS.

use std::time::Duration;

use anyhow::{Context, Result};
use natter_tests::nats::{NatsCluster, NatsServer};
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::streams::ask;
use crate::support::{assert_not_recovered, come_back, newcomer, next, publish, start};

const NAMESPACE: &str = "    - { name: volatile, subscribe: anyone, publish: anyone, history: { read: anyone, stream: { storage: memory, partitions: 1 } } }\n";

/// Enough for a server that starts, an election and three looks at the stream.
const LIMIT: Duration = Duration::from_secs(40);

/// Where the only copy of the stream is, and a server that lives on.
async fn places(cluster: &NatsCluster) -> Result<(usize, usize)> {
    let info = ask(cluster.node(0)?, "INFO", "volatile", &Value::Null).await?;
    let leader = info["cluster"]["leader"].as_str().context("leader")?.to_owned();
    for (index, node) in cluster.nodes().iter().enumerate() {
        if node.varz().await?["server_name"] == leader.as_str() {
            return Ok((index, (index + 1) % cluster.nodes().len()));
        }
    }
    anyhow::bail!("no server is called {leader}")
}

#[tokio::test]
async fn a_memory_stream_whose_server_restarts_counts_in_another_epoch() -> Result<()> {
    let cluster = NatsServer::builder().jetstream().start_cluster(3).await?;
    cluster.wait_formed().await?;
    let first = start("first", Some(&cluster.node(0)?.url()), NAMESPACE).await?;
    eventually("the stream is there", LIMIT, async || {
        publish(&first, "volatile:room", 0).await
    })
    .await?;
    let (leader, other) = places(&cluster).await?;
    let gateway = start("second", Some(&cluster.node(other)?.url()), NAMESPACE).await?;
    let (mut member, _) = newcomer(&gateway, "volatile:room").await?;
    let mut last = publish(&gateway, "volatile:room", 1).await?;
    for number in 2..6 {
        last = publish(&gateway, "volatile:room", number).await?;
    }
    for _ in 1..6 {
        next(&mut member).await?;
    }

    cluster.kill(leader)?;
    cluster.restart(leader).await?;
    eventually("publications are stored again", LIMIT, async || {
        publish(&gateway, "volatile:room", "again").await
    })
    .await?;
    member.set_limit(LIMIT);
    let push = member
        .recv_where(|value| value["push"].get("unsubscribe").is_some())
        .await?;
    assert_eq!(push["push"]["unsubscribe"]["code"], 2500, "{push}");
    let now = publish(&gateway, "volatile:room", "now").await?;
    assert_ne!(now.epoch, last.epoch);
    assert!(now.offset < last.offset, "{now:?} after {last:?}");
    let (mut back, result) = come_back(&gateway, "volatile:room", &last.at(1)).await?;
    assert_not_recovered(&result, now.offset);
    // The other gateway comes to the same epoch.
    let elsewhere = eventually("the other gateway knows", LIMIT, async || {
        let place = publish(&first, "volatile:room", json!("elsewhere")).await?;
        anyhow::ensure!(place.epoch == now.epoch, "{place:?}");
        Ok(place)
    })
    .await?;
    let heard = back
        .recv_where(|value| value["push"]["pub"]["offset"] == elsewhere.offset)
        .await;
    heard.map(drop)
}
