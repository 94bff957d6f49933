//! Rooms that a client is put into by the server API.

use anyhow::{Context, Result};
use natter_tests::client::Client;
use serde_json::{Value, json};

use crate::streams::ask;
use crate::support::{LIMIT, World, next, on_both_buses};

on_both_buses!(the_push_carries_the_position);

async fn the_push_carries_the_position(world: &World) -> Result<()> {
    let (mut client, connected) = Client::connected(&world.gateway.ws_url(), json!({})).await?;
    let id = &connected["client"];
    for (room, is_positioned, is_recoverable) in [
        ("recovery:room", true, true),
        ("watched:room", true, false),
        ("log:room", false, false),
    ] {
        let place = world.publish(room, "before").await?;
        let answer = world
            .gateway
            .api("subscribe", &json!({ "client": id, "channel": room }))
            .await?;
        assert_eq!(answer["result"], json!({}), "{answer}");
        let push = client.push().await?;
        let mut expected = json!({});
        if is_positioned {
            expected = json!({ "positioned": true, "epoch": place.epoch, "offset": place.offset });
        }
        if is_recoverable {
            expected["recoverable"] = true.into();
        }
        assert_eq!(
            (&push["channel"], &push["subscribe"]),
            (&json!(room), &expected),
            "{push}"
        );
        let live = world.publish(room, "live").await?;
        assert_eq!(next(&mut client).await?, (live.offset, json!("live")));
    }
    Ok(())
}

/// It cannot leave the room by itself, so it has to come back as a whole.
#[tokio::test]
async fn who_loses_its_position_is_closed_with_3010() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let (mut client, connected) = Client::connected(&world.gateway.ws_url(), json!({})).await?;
    client.set_limit(LIMIT);
    world.publish("recovery:room", "before").await?;
    let request = json!({ "client": connected["client"], "channel": "recovery:room" });
    let answer = world.gateway.api("subscribe", &request).await?;
    assert_eq!(answer["result"], json!({}), "{answer}");
    client.push().await?;
    ask(nats, "DELETE", "recovery", &Value::Null).await?;
    assert_eq!(client.close_frame().await?.0, 3010);
    Ok(())
}
