//! Streams that somebody deletes, fills or empties by hand under running gateways.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::support::{
    PREFIX, World, assert_not_recovered, come_back, connect, join, newcomer, next, publish, refusal, start,
};

/// Asks `JetStream` as an administrator would.
async fn administer(nats: &NatsServer, verb: &str, namespace: &str) -> Result<()> {
    let client = async_nats::connect(nats.url()).await?;
    let subject = format!("$JS.API.STREAM.{verb}.{PREFIX}_{namespace}_0");
    let answer = client.request(subject, "".into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["success"] == true, "{verb}: {answer}");
    Ok(())
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
