//! Readers that do not read, in rooms where much is said.

use anyhow::{Result, ensure};
use natter_tests::client::Client;
use natter_tests::raw::{Frame, RawSocket};
use serde_json::{Value, json};

use crate::raw_member::{PATH, RawMember};
use crate::scene::{Scene, member, settle};

const QUEUE: &str = "client: {queue_max_size: 128KiB, close_timeout: 60s}";

/// Bytes of `data` in each message of these tests.
pub(crate) const SIZE: usize = 8 * 1024;

/// Says `text` in the room until the slow reader is cut; every message must reach the listener.
pub(crate) async fn talk_until_cut(scene: &Scene, listener: &mut Client, text: &str) -> Result<u32> {
    let is_cut = async || -> Result<bool> {
        let metrics = scene.gateway.metrics().await?;
        Ok(metrics
            .value("natter_disconnects_total", &[("reason", "slow")])
            .is_some_and(|cut| cut > 0.0))
    };
    let mut number = 0;
    while !is_cut().await? {
        ensure!(number < 5_000, "a reader that takes nothing is not cut");
        for _ in 0..20 {
            scene
                .gateway
                .api("publish", &json!({ "channel": "busy", "data": [number, text] }))
                .await?;
            let push = listener.push().await?;
            ensure!(push["pub"]["data"][0] == number, "{number} was due");
            number += 1;
        }
    }
    Ok(number)
}

#[tokio::test]
async fn a_slow_reader_is_cut_with_3008_while_everybody_else_goes_on() -> Result<()> {
    let scene = Scene::open(QUEUE).await?;
    let mut slow = RawMember::join(&scene.gateway, "busy").await?;
    let mut listener = member(&scene.gateway, "busy").await?;
    let watch = scene.watch().await?;
    let said = talk_until_cut(&scene, &mut listener, &"x".repeat(SIZE)).await?;
    watch.cut("slow", 3008).await?;
    watch.counted("natter_subscriptions", &[], -1).await?;

    // What the kernel had taken before can still be read, whole and in order; then the close frame says why.
    let mut read: u32 = 0;
    let close = loop {
        let (opcode, payload) = slow.socket.read_frame().await?;
        if opcode == 8 {
            break payload;
        }
        let push: Value = serde_json::from_slice(&payload)?;
        ensure!(push["push"]["pub"]["data"][0] == read, "{read} was due");
        read += 1;
    };
    assert_eq!(close, [&3008_u16.to_be_bytes()[..], b"slow"].concat());
    // The queue's worth of messages is lost to this socket, and says so.
    let metrics = scene.gateway.metrics().await?;
    let labels = [("room_namespace", "default"), ("reason", "slow_reader")];
    let dropped = metrics
        .value("natter_deliveries_dropped_total", &labels)
        .unwrap_or(0.0);
    ensure!(
        (14.0..=17.0).contains(&dropped),
        "128 KiB of {SIZE} bytes each, but {dropped} were dropped"
    );
    ensure!(
        f64::from(read) + dropped <= f64::from(said),
        "{read} read and {dropped} dropped of {said}"
    );
    settle(&mut listener).await?;
    ensure!(listener.waiting().count() == 0, "a message came twice");
    scene.untroubled().await
}

/// Deliveries are counted when they are written, drops when they are not: together they are all there were.
#[tokio::test]
async fn every_publication_is_either_delivered_or_dropped() -> Result<()> {
    let scene = Scene::open(
        "client: {queue_max_size: 128KiB}\nrooms: {namespaces: [{name: busy, subscribe: anyone}]}",
    )
    .await?;
    let mut slow = RawSocket::upgraded(scene.gateway.public(), PATH).await?;
    let join = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"busy:room\"}}";
    slow.write_frame(&Frame::text(join)).await?;
    slow.read_frame().await?;
    slow.read_frame().await?;
    let text = "x".repeat(60 * 1024);
    let mut said = 0;
    let watch = scene.watch().await?;
    loop {
        scene
            .gateway
            .api("publish", &json!({ "channel": "busy:room", "data": text }))
            .await?;
        said += 1;
        ensure!(said < 1_000, "a reader that takes nothing is not cut");
        let rooms = scene
            .gateway
            .api("channels", &json!({ "pattern": "busy:*" }))
            .await?;
        if rooms["result"]["channels"] == json!({}) {
            break;
        }
    }
    // Gone for good, so that nothing of it is undecided any more.
    drop(slow);
    watch.ended("slow").await?;
    watch
        .counted(
            "natter_publications_total",
            &[("room_namespace", "busy"), ("source", "bus")],
            said,
        )
        .await?;
    let sum = async || -> Result<f64> {
        let metrics = scene.gateway.metrics().await?;
        let count = |name| metrics.value(name, &[("room_namespace", "busy")]).unwrap_or(0.0);
        Ok(count("natter_deliveries_total") + count("natter_deliveries_dropped_total"))
    };
    let all = async || {
        let sum = sum().await.map_err(|error| format!("{error:#}"))?;
        if (sum - f64::from(said)).abs() < 0.5 {
            Ok(())
        } else {
            Err(format!("{sum} of {said}"))
        }
    };
    natter_tests::wait::eventually("every publication is accounted for", crate::scene::LIMIT, all).await?;
    scene.untroubled().await
}

/// A burst that arrives within one turn of the worker says nothing about the reader.
#[tokio::test]
async fn a_burst_above_the_queue_cuts_nobody_who_reads() -> Result<()> {
    let scene = Scene::open("client: {queue_max_size: 64KiB}").await?;
    let mut client = member(&scene.gateway, "room-0").await?;
    let rooms: Vec<_> = (0..20).map(|room| format!("room-{room}")).collect();
    for room in &rooms[1..] {
        client
            .request(json!({ "subscribe": { "channel": room } }))
            .await?;
    }
    let watch = scene.watch().await?;
    for round in 0..10 {
        let data = json!([round, "x".repeat(SIZE)]);
        scene
            .gateway
            .api("broadcast", &json!({ "channels": rooms, "data": data }))
            .await?;
        for room in &rooms {
            let push = client.push().await?;
            ensure!(
                push["channel"] == **room && push["pub"]["data"][0] == round,
                "{room} {round} was due"
            );
        }
    }
    watch.counted("natter_disconnects_total", &[], 0).await?;
    scene.untroubled().await
}

/// Somebody who floods the gateway with pings and reads no pong is a slow reader too.
#[tokio::test]
async fn a_flood_of_pings_that_nobody_reads_the_answers_of_is_cut() -> Result<()> {
    let scene = Scene::open(QUEUE).await?;
    let mut flood = RawSocket::upgraded(scene.gateway.public(), PATH).await?;
    flood
        .write_frame(&Frame::text("{\"id\":1,\"connect\":{}}"))
        .await?;
    flood.read_frame().await?;
    let watch = scene.watch().await?;
    let pings = Frame::new(0x9, [7; 125]).encode().repeat(500);
    let mut written = 0;
    while scene
        .gateway
        .metrics()
        .await?
        .value("natter_disconnects_total", &[("reason", "slow")])
        .is_none_or(|cut| cut == 0.0)
    {
        ensure!(written < 64 << 20, "a flood without end is not cut");
        flood.write(&pings).await?;
        written += pings.len();
    }
    watch.cut("slow", 3008).await?;
    scene.untroubled().await
}
