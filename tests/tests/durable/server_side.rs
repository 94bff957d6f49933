//! Rooms that a client is put into by the server API.

use anyhow::Result;
use natter_tests::client::Client;
use serde_json::json;

use crate::support::{World, next, on_both_buses};

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
