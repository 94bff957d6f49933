//! Conservation: in every scrape, whatever goes on, what was offered and what was owed is accounted for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::support::{LIMIT, Place, World, connect, join, newcomer, recover, wait_bus};

const ROOM: &str = "log:busy";
/// Some rounds of writing fill the kernel's buffers of a socket and the gateway's queue.
const SIZE: usize = 100 * 1024;
const QUEUE: &str = "client: { queue_max_size: 128KiB }\n";

#[tokio::test]
async fn the_books_balance_in_every_scrape_on_the_embedded_bus() -> Result<()> {
    balance(&World::embedded(QUEUE).await?).await
}

#[tokio::test]
async fn the_books_balance_in_every_scrape_over_nats_that_dies() -> Result<()> {
    balance(&World::nats(QUEUE).await?).await
}

async fn balance(world: &World) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let gateway = &world.gateway;
    let busy = async {
        write(gateway, 0).await?;
        crowd(gateway).await?;
        if let Some(nats) = &world.nats {
            nats.kill()?;
            wait_bus(gateway, "down").await?;
            crowd(gateway).await?;
            nats.restart().await?;
            wait_bus(gateway, "up").await?;
            crowd(gateway).await?;
        }
        stop.send_replace(true);
        anyhow::Ok(())
    };
    let (scrapes, ()) = tokio::try_join!(scrape(gateway, stopped), busy)?;
    ensure!(scrapes > 10, "only {scrapes} scrapes");
    settled(gateway).await?;
    let metrics = gateway.metrics().await?;
    for reason in ["slow_reader", "connection_ended"] {
        let labels = [("reason", reason)];
        let dropped = metrics.value("natter_deliveries_dropped_total", &labels);
        ensure!(
            dropped.is_some_and(|dropped| dropped > 0.0),
            "nothing was dropped as {reason}"
        );
    }
    for family in [
        "natter_publications_repeated_total",
        "natter_publications_refused_total",
        "natter_publications_recovered_total",
        "natter_deliveries_total",
    ] {
        ensure!(metrics.sum(family) > 0.0, "{family} counted nothing");
    }
    Ok(())
}

/// Adds up until told to stop; gives how often.
async fn scrape(gateway: &Gateway, mut stopped: watch::Receiver<bool>) -> Result<usize> {
    let mut scrapes = 0;
    let mut pace = interval(Duration::from_millis(10));
    while !*stopped.borrow_and_update() {
        gateway.metrics().await?.balance()?;
        scrapes += 1;
        pace.tick().await;
    }
    Ok(scrapes)
}

/// Nothing waits any more, and it all adds up.
async fn settled(gateway: &Gateway) -> Result<()> {
    eventually("nothing is queued or pending", LIMIT, async || {
        let metrics = gateway.metrics().await?;
        metrics.balance()?;
        for family in ["natter_deliveries_queued", "natter_publications_pending"] {
            ensure!(
                metrics.sum(family).abs() < 0.5,
                "{family}: {}",
                metrics.sum(family)
            );
        }
        Ok(())
    })
    .await
}

/// Says much by every door, some of it twice and some of it to be refused.
async fn write(gateway: &Gateway, round: usize) -> Result<()> {
    let text = "x".repeat(SIZE);
    for number in 0..20 {
        let key = format!("{round}-{}", number / 2);
        let request = json!({ "channel": ROOM, "data": text, "idempotency_key": key });
        gateway.api("publish", &request).await?;
        let other = json!({ "channel": ROOM, "data": [number], "idempotency_key": key });
        gateway.api("publish", &other).await?;
        gateway
            .api("publish", &json!({ "channel": ROOM, "data": text }))
            .await?;
    }
    Ok(())
}

/// Members that read, that do not, that go in the middle and that come back, while much is said.
async fn crowd(gateway: &Gateway) -> Result<()> {
    let url = Arc::<str>::from(gateway.ws_url());
    let mut members = JoinSet::new();
    for _ in 0..8 {
        members.spawn(listen(url.clone()));
    }
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(read_nothing(gateway).await?);
    }
    for round in 1..=2 {
        write(gateway, round).await?;
    }
    // Nobody can join while the bus is down.
    if let Ok((_, place)) = newcomer(gateway, ROOM).await {
        for round in 0..10 {
            come_and_go(gateway, &place, round).await?;
        }
    }
    members.abort_all();
    Ok(())
}

/// A member that takes nothing off its socket.
async fn read_nothing(gateway: &Gateway) -> Result<RawSocket> {
    let mut socket = RawSocket::upgraded(gateway.public(), "/connection/websocket").await?;
    let connect = json!({ "id": 1, "connect": {} });
    let subscribe = json!({ "id": 2, "subscribe": { "channel": ROOM } });
    socket
        .write_frame(&Frame::text(format!("{connect}\n{subscribe}")))
        .await?;
    Ok(socket)
}

/// Comes back to what it missed while more is said; every other time it leaves without waiting for the answer.
async fn come_and_go(gateway: &Gateway, place: &Place, round: usize) -> Result<()> {
    let mut client = connect(gateway).await?;
    let mut subscribe = recover(&place.at(place.offset.saturating_sub(5)));
    subscribe["channel"] = ROOM.into();
    client.send(&json!({ "id": 7, "subscribe": subscribe })).await?;
    gateway
        .api("publish", &json!({ "channel": ROOM, "data": round }))
        .await?;
    if round.is_multiple_of(2) {
        client.recv_where(|reply| reply["id"] == 7).await?;
        client.close().await?;
    }
    Ok(())
}

/// Reads for as long as it is let, coming back whenever it is cut or refused.
async fn listen(url: Arc<str>) -> Result<()> {
    loop {
        let (mut client, _) = Client::connected(&url, json!({})).await?;
        if join(&mut client, ROOM, &json!({})).await.is_ok() {
            while client.push().await.is_ok() {}
        }
    }
}
