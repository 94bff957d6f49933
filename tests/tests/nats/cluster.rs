//! A node of a NATS cluster dies: its gateways move to another, and rooms live on.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsCluster;
use natter_tests::node;
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::time::Instant;

use crate::joins::race;
use crate::support::{LIMIT, PREFIX, gateway, wait_bus};

/// The third node is the one that dies; two gateways are there, so that the echo of one may stand for the other's.
#[tokio::test]
async fn gateways_of_a_killed_node_move_and_joins_go_on() -> Result<()> {
    let nats = NatsCluster::start(3).await?;
    let (first, third) = (nats.node(0)?.url(), nats.node(2)?.url());
    let (a, b, c) = tokio::try_join!(
        gateway("a", first),
        gateway("b", third.clone()),
        gateway("c", third)
    )?;
    let urls = [&a, &b, &c].map(Gateway::ws_url).join(",");
    let script = node::start("sdk/survive.mjs", &[], &[("NATTER_URLS", &urls)])?;
    script
        .expect_json(|line| line["event"] == "progress", LIMIT)
        .await?;
    let logged = [&b, &c].map(|gateway| gateway.logs().len());

    nats.kill(2)?;
    for (gateway, skip) in [&b, &c].into_iter().zip(logged) {
        let moved = gateway.wait_log_after(skip, |line| line.message().contains("bus is up"), LIMIT);
        let server = moved.await?.field("server").cloned();
        ensure!(
            server == Some(json!("nats-0")) || server == Some(json!("nats-1")),
            "{server:?}"
        );
    }
    let began = Instant::now();
    tokio::try_join!(
        race(&a, &b, "from-b", 20),
        race(&b, &c, "from-c", 20),
        race(&c, &a, "from-a", 20)
    )?;
    // A dead server costs each gateway half a second once, not once a join.
    ensure!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    for gateway in [&a, &b, &c] {
        assert_eq!(wait_bus(gateway, "up").await?, 200);
    }
    script.send_line("stop")?;
    let summary = script
        .expect_json(|line| line["event"] == "summary", LIMIT)
        .await?;
    ensure!(
        summary["ok"] == true && summary["lostConnections"] == 0,
        "{summary}"
    );
    script.wait_success(LIMIT).await?;
    eventually("no room is left at any node", LIMIT, async || {
        let mut left = Vec::new();
        for node in &nats.nodes()[..2] {
            left.extend(node.subscriptions(&format!("{PREFIX}.eph.")).await?);
        }
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}
