//! The official client over WebSocket, server-sent events and HTTP streaming, in JSON and Protobuf, over two gateways.

use anyhow::{Context, Result};
use natter_tests::nats::NatsServer;
use natter_tests::node;
use natter_tests::proxy::Proxy;
use serde_json::Value;

use crate::support::{LIMIT, builder, wait_bus};

const ROOMS: &str = "rooms: {namespaces: [{name: kept, subscribe: anyone, publish: anyone, history: {size: 1000, ttl: 1h, read: anyone, force_recovery: true}}]}\n";

#[tokio::test]
async fn every_transport_recovers_what_a_cut_kept_back() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let (a, b) = tokio::try_join!(
        builder("a", &nats.url(), ROOMS).start(),
        builder("b", &nats.url(), ROOMS).start()
    )?;
    tokio::try_join!(wait_bus(&a, "up"), wait_bus(&b, "up"))?;
    let proxy = Proxy::start(a.public()).await?;
    let (host, other) = (proxy.address().to_string(), b.public().to_string());
    let script = node::start(
        "sdk/transports.mjs",
        &[],
        &[
            ("NATTER_HOST", &host),
            ("NATTER_EMULATION", &other),
            ("NATTER_WRITER", &other),
        ],
    )?;
    let next = async |event: &str| {
        let fits = |line: &Value| line["event"] == event || line["event"] == "failed";
        let line = script.expect_json(fits, 3 * LIMIT).await?;
        anyhow::ensure!(line["event"] == event, "{line}");
        anyhow::Ok(())
    };
    next("joined").await?;
    proxy.cut();
    script.send_line("cut")?;
    next("missed").await?;
    proxy.resume();
    script.send_line("back")?;
    next("summary").await?;
    script.wait_success(LIMIT).await.context("the clients")
}
