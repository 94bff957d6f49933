//! NATS is away: refused at once, nobody cut, and afterwards everything that was acknowledged is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    LIMIT, World, assert_recovered, come_back, connect, newcomer, next, publish, refusal, start, wait_bus,
};

/// What "at once" means on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn what_was_acknowledged_survives_and_live_goes_on() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let other = start("other", Some(&nats.url()), "").await?;
    let (mut member, place) = newcomer(&world.gateway, "log:room").await?;
    let before = world.publish_all("log:room", 10).await?;
    for offset in &before {
        assert_eq!(next(&mut member).await?.0, *offset);
    }
    let mut bystander = connect(&world.gateway).await?;

    nats.kill()?;
    wait_bus(&world.gateway, "down").await?;
    wait_bus(&other, "down").await?;
    let began = Instant::now();
    let publishing = json!({ "publish": { "channel": "log:room", "data": 1 } });
    assert_eq!(refusal(&mut member, publishing).await?, 100);
    for room in ["log:room", "log:other"] {
        let joining = json!({ "subscribe": { "channel": room, "recoverable": true } });
        assert_eq!(refusal(&mut bystander, joining).await?, 100);
    }
    let reading = json!({ "history": { "channel": "log:room", "limit": 1 } });
    assert_eq!(refusal(&mut member, reading).await?, 100);
    let answer = world
        .gateway
        .api("publish", &json!({ "channel": "log:room", "data": 1 }))
        .await?;
    assert_eq!(answer["error"]["code"], 100);
    ensure!(began.elapsed() < AT_ONCE, "refused after {:?}", began.elapsed());

    nats.restart().await?;
    // The other gateway may be back first: what it stores then is caught up with.
    let first = eventually("publishes work again", LIMIT, async || {
        publish(&other, "log:room", "first").await
    })
    .await?;
    let (offset, data) = next(&mut member).await?;
    assert_eq!((offset, data), (first.offset, json!("first")));
    assert_eq!(first.epoch, place.epoch);
    wait_bus(&world.gateway, "up").await?;
    let live = publish(&world.gateway, "log:room", "live").await?;
    assert_eq!(next(&mut member).await?, (live.offset, json!("live")));
    let (_client, result) = come_back(&world.gateway, "log:room", &place).await?;
    let mut all = before;
    all.extend([first.offset, live.offset]);
    assert_recovered(&result, &place, &all);
    assert_eq!(bystander.waiting().count(), 0);
    Ok(())
}
