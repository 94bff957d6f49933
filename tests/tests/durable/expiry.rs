//! What a stream forgets by itself is not forgotten by those who count on it: nothing is passed off as all of it.

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{LIMIT, World, assert_recovered, come_back, found, newcomer, on_both_buses};

on_both_buses!(
    what_came_and_went_meanwhile_is_not_recovered,
    who_left_an_empty_room_recovers,
    what_was_removed_is_not_at_hand_either,
);

/// Waits until everything in the room is too old.
async fn forgotten(world: &World, room: &str) -> Result<()> {
    eventually("everything is too old", LIMIT, async || {
        let page = world.history(json!({ "channel": room, "limit": -1 })).await?;
        ensure!(found(&page).is_empty(), "{page}");
        Ok(())
    })
    .await
}

/// The room is empty when the client leaves and when it comes back.
async fn what_came_and_went_meanwhile_is_not_recovered(world: &World) -> Result<()> {
    for (room, somebody_came) in [("brief:alone", false), ("brief:found", true)] {
        let (client, place) = newcomer(&world.gateway, room).await?;
        drop(client);
        world.deserted().await?;
        world.publish_all(room, 3).await?;
        forgotten(world, room).await?;
        let mut stays = None;
        if somebody_came {
            stays = Some(newcomer(&world.gateway, room).await?);
            world.publish(room, "at hand").await?;
        }
        let (_client, result) = come_back(&world.gateway, room, &place).await?;
        assert_ne!(result["recovered"], true, "{room}: {result}");
        assert_eq!(found(&result), [0; 0], "{room}: {result}");
        drop(stays);
    }
    Ok(())
}

async fn who_left_an_empty_room_recovers(world: &World) -> Result<()> {
    world.publish_all("log:other", 3).await?;
    let (client, place) = newcomer(&world.gateway, "log:quiet").await?;
    world.publish_all("log:other", 3).await?;
    let (_, result) = come_back(&world.gateway, "log:quiet", &place).await?;
    assert_recovered(&result, &place, &[]);
    drop(client);
    world.deserted().await?;
    let (client, result) = come_back(&world.gateway, "log:quiet", &place).await?;
    assert_recovered(&result, &place, &[]);
    drop(client);
    world.deserted().await?;
    let missed = world.publish_all("log:quiet", 2).await?;
    let (_client, result) = come_back(&world.gateway, "log:quiet", &place).await?;
    assert_recovered(&result, &place, &missed);
    Ok(())
}

/// The stream has nothing to remove any more, but the gateway has it at hand.
async fn what_was_removed_is_not_at_hand_either(world: &World) -> Result<()> {
    let _stays = newcomer(&world.gateway, "brief:removed").await?;
    let place = world.publish("brief:removed", "first").await?;
    world.publish_all("brief:removed", 3).await?;
    forgotten(world, "brief:removed").await?;
    let request = json!({ "channel": "brief:removed" });
    let answer = world.gateway.api("history_remove", &request).await?;
    ensure!(answer.get("result").is_some(), "{answer}");
    eventually("nobody gets it any more", LIMIT, async || {
        let (_client, result) = come_back(&world.gateway, "brief:removed", &place).await?;
        ensure!(
            result["recovered"] != true && found(&result).is_empty(),
            "{result}"
        );
        Ok(())
    })
    .await
}
