//! Recovery while the room is being published to: what is held and what is read meet without gap or overlap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use natter_tests::client::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{LIMIT, Place, World, connect, join, newcomer, on_both_buses, publish, recover};

on_both_buses!(readers_that_drop_at_random_miss_nothing);

const READERS: usize = 50;
const MESSAGES: usize = 600;
const ROOM: &str = "log:busy";

/// A reader that drops its connection after a few publications, again and again, until it has the last message.
async fn read_all(url: String, start: Place, seed: u64, drops: Arc<AtomicUsize>) -> Result<Vec<u64>> {
    let mut random = Rng::with_seed(seed);
    let mut place = start;
    let mut numbers = Vec::new();
    loop {
        let (mut client, _) = Client::connected(&url, json!({})).await?;
        client.set_limit(LIMIT);
        let result = join(&mut client, ROOM, &recover(&place)).await?;
        ensure!(
            result["recovered"] == true,
            "not recovered from {place:?}: {result}"
        );
        let mut take = |publication: &Value| -> Result<bool> {
            let offset = publication["offset"].as_u64().context("no offset")?;
            ensure!(offset > place.offset, "{offset} again after {}", place.offset);
            place.offset = offset;
            match publication["data"].as_u64() {
                Some(number) => numbers.push(number),
                None => return Ok(true),
            }
            Ok(false)
        };
        for publication in result["publications"].as_array().into_iter().flatten() {
            if take(publication)? {
                return Ok(numbers);
            }
        }
        for _ in 0..random.usize(1..40) {
            if take(&client.push().await?["pub"])? {
                return Ok(numbers);
            }
        }
        drops.fetch_add(1, Ordering::Relaxed);
    }
}

async fn readers_that_drop_at_random_miss_nothing(world: &World) -> Result<()> {
    let (stays, start) = newcomer(&world.gateway, ROOM).await?;
    let drops = Arc::<AtomicUsize>::default();
    let mut readers = JoinSet::new();
    for seed in 0..READERS as u64 {
        readers.spawn(read_all(
            world.gateway.ws_url(),
            start.clone(),
            seed,
            drops.clone(),
        ));
    }
    let mut writer = connect(&world.gateway).await?;
    for number in 0..MESSAGES {
        let publish = json!({ "channel": ROOM, "data": number });
        let reply = writer.request(json!({ "publish": publish })).await?;
        ensure!(reply.get("publish").is_some(), "{reply}");
    }
    publish(&world.gateway, ROOM, "end").await?;
    while let Some(reader) = readers.join_next().await {
        let numbers = reader??;
        assert!(numbers.iter().copied().eq(0..MESSAGES as u64), "{numbers:?}");
    }
    assert!(drops.load(Ordering::Relaxed) > READERS, "{drops:?} drops");
    drop(stays);
    Ok(())
}

/// The same while the room itself comes and goes: with nobody else in it, each join makes it anew at the bus.
#[tokio::test]
async fn a_reader_alone_misses_nothing_of_a_room_that_comes_and_goes() -> Result<()> {
    let world = World::nats("").await?;
    let start = publish(&world.gateway, ROOM, "start").await?;
    let url = world.gateway.ws_url();
    let reader = tokio::spawn(read_all(url, start, 7, Arc::default()));
    let mut writer = connect(&world.gateway).await?;
    for number in 0..200 {
        writer
            .request(json!({ "publish": { "channel": ROOM, "data": number } }))
            .await?;
    }
    publish(&world.gateway, ROOM, "end").await?;
    let Ok(numbers) = timeout(Duration::from_secs(30), reader).await else {
        bail!("the reader did not come to the end");
    };
    assert!(numbers??.into_iter().eq(0..200));
    Ok(())
}
