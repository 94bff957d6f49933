//! Much at once: pages and recoveries end by their bytes, and who takes its time to read them is not cut for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::API_KEY;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    LIMIT, Place, World, assert_not_recovered, assert_recovered, come_back, connect, found, next, offsets,
    on_both_buses, publish, recover,
};

on_both_buses!(
    a_page_ends_by_its_bytes_and_the_next_goes_on,
    a_recovery_of_too_many_bytes_is_not_recovered,
    who_reads_much_waits_for_itself,
);

/// Payload bytes at which a page ends.
const PAGE: usize = 4 << 20;
const SIZE: usize = 60 * 1024;
/// With the quotes around it.
const PAYLOAD: usize = SIZE + 2;
/// Messages of a page: the last of them is beyond the bound.
const IN_PAGE: usize = PAGE / PAYLOAD + 1;

async fn fill(world: &World, room: &str, count: usize) -> Result<Vec<u64>> {
    let data = "x".repeat(SIZE);
    let mut offsets = Vec::with_capacity(count);
    for _ in 0..count {
        offsets.push(publish(&world.gateway, room, data.clone()).await?.offset);
    }
    Ok(offsets)
}

async fn a_page_ends_by_its_bytes_and_the_next_goes_on(world: &World) -> Result<()> {
    let all = fill(world, "log:room", 100).await?;
    let backwards: Vec<u64> = all.iter().rev().copied().collect();
    let mut client = connect(&world.gateway).await?;
    for (reverse, order) in [(false, &all), (true, &backwards)] {
        let first = json!({ "channel": "log:room", "limit": -1, "reverse": reverse });
        let mut following = first.clone();
        following["since"] = json!({ "offset": order[IN_PAGE - 1] });
        for (request, expected) in [(first, &order[..IN_PAGE]), (following, &order[IN_PAGE..])] {
            let page = world.history(request.clone()).await?;
            assert_eq!(found(&page), expected, "by the server API");
            assert_eq!(page["offset"], all[99], "so the reader knows that there is more");
            let reply = client.request(json!({ "history": request })).await?;
            assert_eq!(found(&reply["history"]), expected, "by the command");
        }
    }
    let mut cursor = String::new();
    for (count, has_next) in [(IN_PAGE, true), (100 - IN_PAGE, false)] {
        let messages = format!("{}/v1/rooms/log:room/messages", world.gateway.http_url());
        let url = format!("{messages}?limit=1000&api_key={API_KEY}{cursor}");
        let (status, body) = world.gateway.get(&url).await?;
        let body: Value = serde_json::from_str(&body)?;
        let messages = body["messages"].as_array().context("messages")?;
        assert_eq!((status, messages.len()), (200, count), "by REST");
        assert_eq!(body["next"].is_string(), has_next, "{}", body["next"]);
        cursor = format!("&cursor={}", body["next"].as_str().unwrap_or_default());
    }
    Ok(())
}

async fn a_recovery_of_too_many_bytes_is_not_recovered(world: &World) -> Result<()> {
    let all = fill(world, "log:room", IN_PAGE + 5).await?;
    let head = Place::of(&world.history(json!({ "channel": "log:room" })).await?)?;
    let (client, result) = come_back(&world.gateway, "log:room", &head.at(all[0])).await?;
    assert_not_recovered(&result, head.offset);
    drop(client);
    let (_client, result) = come_back(&world.gateway, "log:room", &head.at(all[8])).await?;
    assert_recovered(&result, &head.at(all[8]), &all[9..]);
    Ok(())
}

/// A page a second, and two more at once.
async fn who_reads_much_waits_for_itself(world: &World) -> Result<()> {
    fill(world, "log:room", IN_PAGE).await?;
    let mut client = connect(&world.gateway).await?;
    let began = Instant::now();
    for _ in 0..5 {
        let ask = json!({ "history": { "channel": "log:room", "limit": -1 } });
        let reply = client.request(ask).await?;
        ensure!(found(&reply["history"]).len() == IN_PAGE, "{}", reply["error"]);
    }
    // Four are there before the fifth begins.
    let took = began.elapsed();
    ensure!(took >= Duration::from_millis(1_950), "in {took:?}");
    Ok(())
}

/// A queue that is far smaller than what is recovered.
const SMALL_QUEUE: &str = "client: { queue_max_size: 128KiB }\n";

#[tokio::test]
async fn who_is_still_reading_what_it_recovered_hears_the_rest_embedded() -> Result<()> {
    hears_the_rest(&World::embedded(SMALL_QUEUE).await?).await
}

#[tokio::test]
async fn who_is_still_reading_what_it_recovered_hears_the_rest_nats() -> Result<()> {
    hears_the_rest(&World::nats(SMALL_QUEUE).await?).await
}

async fn hears_the_rest(world: &World) -> Result<()> {
    let all = fill(world, "log:room", IN_PAGE).await?;
    let head = Place::of(&world.history(json!({ "channel": "log:room" })).await?)?;
    let place = head.at(all[0]);
    let mut client = connect(&world.gateway).await?;
    let mut command = recover(&place);
    command["channel"] = "log:room".into();
    // Nothing is read from the socket until the messages of the while are on their way.
    client.send(&json!({ "id": 100, "subscribe": command })).await?;
    eventually("the join is answered", LIMIT, async || {
        let answered = world.recoveries("recovered").await?;
        ensure!(answered == 1, "{answered}");
        Ok(())
    })
    .await?;
    let live = world.publish_all("log:room", 20).await?;
    eventually("they have reached the member", LIMIT, async || {
        let metrics = world.gateway.metrics().await?;
        let owed = metrics.value("natter_deliveries_owed_total", &[("room_namespace", "log")]);
        ensure!(owed.is_some_and(|owed| owed > 19.5), "{owed:?}");
        Ok(())
    })
    .await?;
    let reply = client.recv_where(|value| value["id"] == 100).await?;
    assert_recovered(&reply["subscribe"], &place, &all[1..]);
    assert_eq!(offsets(&mut client, 20).await?, live);
    Ok(())
}

/// The SDKs join all their rooms with one frame.
#[tokio::test]
async fn rooms_that_are_too_much_together_come_one_after_the_other_embedded() -> Result<()> {
    one_after_the_other(&World::embedded(SMALL_QUEUE).await?).await
}

#[tokio::test]
async fn rooms_that_are_too_much_together_come_one_after_the_other_nats() -> Result<()> {
    one_after_the_other(&World::nats(SMALL_QUEUE).await?).await
}

async fn one_after_the_other(world: &World) -> Result<()> {
    let mut rooms = Vec::new();
    for room in ["log:a", "log:b", "log:c", "log:d"] {
        let all = fill(world, room, IN_PAGE).await?;
        let head = Place::of(&world.history(json!({ "channel": room })).await?)?;
        let mut command = recover(&head.at(all[0]));
        command["channel"] = room.into();
        rooms.push((command, head.at(all[0]), all));
    }
    let mut client = connect(&world.gateway).await?;
    let commands: Vec<_> = (100..)
        .zip(&rooms)
        .map(|(id, (command, ..))| json!({ "id": id, "subscribe": command }))
        .collect();
    client.send_batch(&commands).await?;
    eventually("all are answered", LIMIT, async || {
        let refused = (world.gateway.metrics().await?).sum("natter_command_errors_total");
        let recovered = u32::try_from(world.recoveries("recovered").await?)?;
        ensure!(refused + f64::from(recovered) > 3.5, "{refused} and {recovered}");
        Ok(())
    })
    .await?;
    let mut refused = Vec::new();
    for (id, (command, place, all)) in (100..).zip(&rooms) {
        let reply = client.recv_where(|value| value["id"] == id).await?;
        if reply["error"]["code"] == 111 {
            assert_eq!(reply["error"]["temporary"], true, "{reply}");
            refused.push((command, place, all));
        } else {
            assert_recovered(&reply["subscribe"], place, &all[1..]);
        }
    }
    assert!(
        !refused.is_empty() && refused.len() < rooms.len(),
        "{}",
        refused.len()
    );
    // Now that the rest is read, they can be had.
    for (command, place, all) in refused {
        let reply = client.request(json!({ "subscribe": command })).await?;
        assert_recovered(&reply["subscribe"], place, &all[1..]);
    }
    let live = world.publish("log:d", "live").await?;
    assert_eq!(next(&mut client).await?, (live.offset, json!("live")));
    Ok(())
}
