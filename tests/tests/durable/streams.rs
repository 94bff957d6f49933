//! Streams that somebody deletes, fills or empties by hand under running gateways, and messages too large for them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{
    PREFIX, World, assert_not_recovered, come_back, connect, join, newcomer, next, publish, refusal, start,
};

/// Asks `JetStream` as an administrator would.
async fn administer(nats: &NatsServer, verb: &str, namespace: &str) -> Result<()> {
    let answer = ask(nats, verb, namespace, &Value::Null).await?;
    ensure!(answer["success"] == true, "{verb}: {answer}");
    Ok(())
}

pub(crate) async fn ask(nats: &NatsServer, verb: &str, namespace: &str, body: &Value) -> Result<Value> {
    let client = async_nats::connect(nats.url()).await?;
    let subject = format!("$JS.API.STREAM.{verb}.{PREFIX}_{namespace}_0");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = client.request(subject, body.into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer.get("error").is_none(), "{verb}: {answer}");
    Ok(answer)
}

/// Changes settings of a stream; gives those of before.
pub(crate) async fn edit(nats: &NatsServer, namespace: &str, changes: &Value) -> Result<Value> {
    let before = ask(nats, "INFO", namespace, &Value::Null).await?["config"].take();
    let mut config = before.clone();
    for (name, value) in changes.as_object().context("changes")? {
        config[name] = value.clone();
    }
    ask(nats, "UPDATE", namespace, &config).await?;
    Ok(before)
}

#[tokio::test]
async fn a_deleted_stream_begins_anew_and_everybody_is_told() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let other = start("other", Some(&nats.url()), "").await?;
    let (mut member, place) = newcomer(&world.gateway, "log:room").await?;
    let (mut far_member, _) = newcomer(&other, "log:room").await?;
    let mut indifferent = connect(&other).await?;
    join(&mut indifferent, "log:room", &json!({})).await?;
    let all = world.publish_all("log:room", 20).await?;
    for client in [&mut member, &mut far_member, &mut indifferent] {
        for offset in &all {
            assert_eq!(next(client).await?.0, *offset);
        }
    }

    administer(nats, "DELETE", "log").await?;
    let fresh = eventually("publishes work again", Duration::from_secs(5), async || {
        publish(&world.gateway, "log:room", "fresh").await
    })
    .await?;
    for client in [&mut member, &mut far_member] {
        let push = client
            .recv_where(|value| value["push"].get("unsubscribe").is_some())
            .await?;
        assert_eq!(push["push"]["unsubscribe"]["code"], 2500, "{push}");
    }
    // Who counts on no position stays, and hears what is said from now on: the new offsets are small.
    let last = publish(&other, "log:room", "last").await?;
    assert!(last.offset < all[19], "it counts anew");
    let last_heard = indifferent
        .recv_where(|value| value["push"]["pub"]["data"] == "last")
        .await?;
    assert_eq!(last_heard["push"]["pub"]["offset"], last.offset);

    let mut head = last.offset;
    for gateway in [&world.gateway, &other] {
        let (mut client, result) = come_back(gateway, "log:room", &place.at(all[19])).await?;
        assert_not_recovered(&result, head);
        assert_eq!(result["epoch"], json!(last.epoch));
        let live = publish(gateway, "log:room", "live").await?;
        assert_eq!(next(&mut client).await?, (live.offset, json!("live")));
        head = live.offset;
    }
    assert!(fresh.offset < last.offset && last.epoch != place.epoch);
    Ok(())
}

/// Nothing is acknowledged that is not there, and who is refused is told what is wrong.
#[tokio::test]
async fn a_full_stream_refuses_until_it_is_emptied() -> Result<()> {
    let world = World::nats("").await?;
    let (mut client, place) = newcomer(&world.gateway, "tight:room").await?;
    let data = "x".repeat(60 * 1024);
    let publish = json!({ "publish": { "channel": "tight:room", "data": data } });
    let mut stored = Vec::new();
    let code = loop {
        let reply = client.request(publish.clone()).await?;
        if let Some(code) = reply["error"]["code"].as_u64() {
            break code;
        }
        stored.push(next(&mut client).await?.0);
        ensure!(stored.len() < 64, "1 MiB took more than 64 messages of 60 KiB");
    };
    assert_eq!(code, 106);
    let answer = world
        .gateway
        .api("publish", &json!({ "channel": "tight:room", "data": data }))
        .await?;
    assert_eq!(answer["error"]["code"], 106, "{answer}");
    let page = world
        .history(json!({ "channel": "tight:room", "limit": -1 }))
        .await?;
    assert_eq!(
        crate::support::found(&page),
        stored,
        "all that was acknowledged, and nothing else"
    );
    assert_eq!(refusal(&mut client, publish.clone()).await?, 106, "still");

    administer(world.nats.as_ref().context("NATS")?, "PURGE", "tight").await?;
    let after = world.publish("tight:room", "there is room").await?;
    assert_eq!(after.epoch, place.epoch);
    assert_eq!(next(&mut client).await?, (after.offset, json!("there is room")));
    let (_client, result) = come_back(&world.gateway, "tight:room", &place.at(stored[0])).await?;
    // The gateway still has at hand what was purged behind its back, or says that it cannot be had; never a part of it.
    if result["recovered"] == true {
        let all: Vec<u64> = stored[1..].iter().copied().chain([after.offset]).collect();
        assert_eq!(crate::support::found(&result), all);
    } else {
        assert_not_recovered(&result, after.offset);
    }
    Ok(())
}

/// A full stream has no room for the marker of a removal either, until the removal makes some.
#[tokio::test]
async fn a_removal_makes_room_in_a_full_stream() -> Result<()> {
    let world = World::nats("").await?;
    let mut stored = Vec::new();
    for size in [100_000, 10_000, 1_000, 100, 1] {
        let request = json!({ "channel": "tight:room", "data": "x".repeat(size) });
        loop {
            let answer = world.gateway.api("publish", &request).await?;
            let Some(offset) = answer["result"]["offset"].as_u64() else {
                assert_eq!(answer["error"]["code"], 106, "{answer}");
                break;
            };
            stored.push(offset);
            ensure!(stored.len() < 100, "1 MiB took {} messages", stored.len());
        }
    }
    let room = json!({ "channel": "tight:room" });
    let answer = world.gateway.api("history_remove", &room).await?;
    assert_eq!(answer["result"], json!({}), "{answer}");
    let after = world.publish("tight:room", "there is room").await?;
    let page = world
        .history(json!({ "channel": "tight:room", "limit": -1 }))
        .await?;
    assert_eq!(crate::support::found(&page), [after.offset]);
    Ok(())
}

/// The stream takes headers of 64 KiB, whatever the connection carries.
#[tokio::test]
async fn tags_over_the_limit_of_a_stream_are_refused_as_too_large() -> Result<()> {
    let world = World::nats("").await?;
    let tags = json!({ "much": "x".repeat(100_000) });
    let request = json!({ "channel": "log:room", "data": 1, "tags": tags });
    let answer = world.gateway.api("publish", &request).await?;
    assert_eq!(answer["error"]["code"], 106, "{answer}");
    let answer = rest(&world.gateway, &json!({ "data": 1, "tags": tags })).await?;
    assert_eq!(answer.0, 413, "{}", answer.1);
    Ok(())
}

/// Nobody publishes or joins: the gateway hears of it all the same.
#[tokio::test]
async fn a_stream_deleted_in_silence_is_made_again_at_once() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let (mut member, place) = newcomer(&world.gateway, "log:room").await?;
    administer(nats, "DELETE", "log").await?;
    let push = member
        .recv_where(|value| value["push"].get("unsubscribe").is_some())
        .await?;
    assert_eq!(push["push"]["unsubscribe"]["code"], 2500, "{push}");
    let fresh = world.publish("log:room", "fresh").await?;
    assert_ne!(fresh.epoch, place.epoch);
    Ok(())
}

/// Every door says so, nothing is stored, and the connection to NATS stays.
#[tokio::test]
async fn a_message_over_the_limits_of_nats_is_refused_at_every_door() -> Result<()> {
    let nats = NatsServer::builder()
        .jetstream()
        .config("max_payload: 65536")
        .start()
        .await?;
    let gateway = start(
        "limited",
        Some(&nats.url()),
        "client: { message_size_limit: 1MiB }\n",
    )
    .await?;
    let mut member = newcomer(&gateway, "log:room").await?.0;
    // The first is more than a connection to NATS carries, the second more than the stream takes.
    for (round, size) in [100_000, 2_000].into_iter().enumerate() {
        if round == 1 {
            edit(&nats, "log", &json!({ "max_msg_size": 1_000 })).await?;
        }
        let data = "x".repeat(size);
        let request = json!({ "channel": "log:room", "data": data });
        assert_eq!(refusal(&mut member, json!({ "publish": request })).await?, 106);
        let answer = gateway.api("publish", &request).await?;
        assert_eq!(answer["error"]["code"], 106, "{answer}");
        let broadcast = json!({ "channels": ["log:room"], "data": data });
        let answer = gateway.api("broadcast", &broadcast).await?;
        assert_eq!(answer["result"]["responses"][0]["error"]["code"], 106, "{answer}");
        let answer = rest(&gateway, &json!({ "data": data })).await?;
        assert_eq!(answer.0, 413, "{}", answer.1);
        let tags = json!({ "channel": "log:room", "data": 1, "tags": { "much": data } });
        let answer = gateway.api("publish", &tags).await?;
        assert_eq!(answer["error"]["code"], 106, "{answer}");
    }
    let stored = publish(&gateway, "log:room", "small").await?;
    assert_eq!(next(&mut member).await?, (stored.offset, json!("small")));
    assert_eq!(stored.offset, 1, "nothing else was stored");
    assert!(gateway.metrics().await?.sum("natter_bus_reconnects_total") < 0.5);
    Ok(())
}

async fn rest(gateway: &Gateway, body: &Value) -> Result<(u16, String)> {
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/rooms/log:room/messages", gateway.http_url()))
        .header("x-api-key", natter_tests::gateway::API_KEY)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The disk that the server may use is full: the same answer as for a full stream.
#[tokio::test]
async fn a_server_without_room_refuses_and_says_so() -> Result<()> {
    let nats = NatsServer::builder()
        .config("jetstream { max_file_store: 300KB }")
        .start()
        .await?;
    let gateway = start("small", Some(&nats.url()), "").await?;
    let (mut member, _) = newcomer(&gateway, "log:room").await?;
    let data = "x".repeat(30 * 1024);
    let mut stored = 0;
    let code = loop {
        let reply = member
            .request(json!({ "publish": { "channel": "log:room", "data": data } }))
            .await?;
        if let Some(code) = reply["error"]["code"].as_u64() {
            break code;
        }
        stored += 1;
        ensure!(stored < 30, "300 KB took {stored} messages of 30 KiB");
    };
    assert_eq!(code, 106);
    for _ in 0..stored {
        next(&mut member).await?;
    }
    administer(&nats, "PURGE", "log").await?;
    let after = publish(&gateway, "log:room", "there is room").await?;
    assert_eq!(next(&mut member).await?, (after.offset, json!("there is room")));
    Ok(())
}
