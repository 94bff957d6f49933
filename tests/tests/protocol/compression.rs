//! Compressed messages (RFC 7692): who gets them, in what order, and from what size and number of members on.

use std::time::Duration;

use anyhow::{Result, ensure};
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::{node, python};
use serde_json::json;

use crate::compressed_member::{CompressedMember, OFFER};
use crate::raw_member::PATH;
use crate::scene::{LIMIT, Scene, member, settle};
use crate::slow::{SIZE, talk_until_cut};

/// Everything is compressed that becomes shorter.
pub(crate) const ALWAYS: &str = "client: {compression: {enabled: true, min_size: 1, min_members: 1}}";
const SCRIPT_LIMIT: Duration = Duration::from_secs(30);

const MESSAGES: &str = "natter_compression_messages_total";

#[tokio::test]
async fn takers_and_others_get_every_message_once_and_in_order() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let mut plain = member(&scene.gateway, "room").await?;
    let mut takers = Vec::new();
    for _ in 0..3 {
        takers.push(CompressedMember::join(&scene.gateway, "room").await?);
    }
    let watch = scene.watch().await?;
    for number in 0..50 {
        let long = json!([number, "to and fro ".repeat(40)]);
        let is_long = number % 3 != 0;
        let data = if is_long { long } else { json!(number) };
        if is_long {
            let command = json!({ "id": 3, "publish": { "channel": "room", "data": data } });
            takers[number % 3].say(&command.to_string()).await?;
        } else {
            // Without the name of a publisher it does not become shorter.
            let request = json!({ "channel": "room", "data": data });
            scene.gateway.api("publish", &request).await?;
        }
        for taker in &mut takers {
            let (is_compressed, got) = taker.data().await?;
            ensure!(got == data, "{got} came where {number} was due");
            ensure!(is_compressed == is_long, "{number}: {is_compressed}");
        }
        ensure!(plain.push().await?["pub"]["data"] == data, "{number} was due");
    }
    // Once for each message, whatever the number of its takers.
    watch.counted(MESSAGES, &[("result", "compressed")], 33).await?;
    watch.counted(MESSAGES, &[("result", "not_shorter")], 17).await?;
    settle(&mut plain).await?;
    ensure!(plain.waiting().count() == 0, "a message came twice");
    scene.untroubled().await
}

#[tokio::test]
async fn only_above_the_size_and_the_number_of_members() -> Result<()> {
    let config =
        "workers: 1\nclient: {compression: {enabled: true, level: 9, min_size: 300, min_members: 2}}";
    let scene = Scene::open(config).await?;
    let publish = async |length: usize| {
        let request = json!({ "channel": "room", "data": "x".repeat(length) });
        scene.gateway.api("publish", &request).await
    };
    let mut first = CompressedMember::join(&scene.gateway, "room").await?;
    let watch = scene.watch().await?;
    publish(1000).await?;
    ensure!(!first.data().await?.0, "compressed for one member");
    let mut second = CompressedMember::join(&scene.gateway, "room").await?;
    for (length, expected) in [(1000, true), (200, false), (300, true), (200_000, false)] {
        publish(length).await?;
        for taker in [&mut first, &mut second] {
            let (is_compressed, data) = taker.data().await?;
            ensure!(data.as_str().map(str::len) == Some(length), "cut to {data}");
            ensure!(is_compressed == expected, "{length}: {is_compressed}");
        }
    }
    watch.counted(MESSAGES, &[("result", "compressed")], 2).await?;
    watch.counted(MESSAGES, &[("result", "too_large")], 1).await?;
    watch.counted("natter_compression_seconds_count", &[], 2).await?;
    first
        .say("{\"id\":3,\"unsubscribe\":{\"channel\":\"room\"}}")
        .await?;
    ensure!(
        first.text().await?.1 == "{\"id\":3,\"unsubscribe\":{}}",
        "still in"
    );
    publish(1000).await?;
    ensure!(!second.data().await?.0, "compressed for one member that is left");
    scene.untroubled().await
}

#[tokio::test]
async fn nothing_is_agreed_on_where_it_is_off_or_cannot_be_met() -> Result<()> {
    let scene = Scene::open("").await?;
    let (_, head) = RawSocket::upgraded_with(scene.gateway.public(), PATH, OFFER).await?;
    ensure!(!head.to_lowercase().contains("extensions"), "{head}");
    scene.untroubled().await?;

    let scene = Scene::open(ALWAYS).await?;
    let watch = scene.watch().await?;
    for offer in [
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; mux",
        "permessage-deflate; client_max_window_bits=\"",
        "x-webkit-deflate-frame",
    ] {
        let header = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let (mut socket, head) = RawSocket::upgraded_with(scene.gateway.public(), PATH, &header).await?;
        ensure!(!head.to_lowercase().contains("extensions"), "{offer}: {head}");
        socket
            .write_frame(&Frame::text("{\"id\":1,\"connect\":{}}"))
            .await?;
        let (first, _) = socket.read_flagged_frame().await?;
        ensure!(first == 0x81, "{first:#x}");
    }
    watch
        .counted("natter_compression_offers_total", &[("result", "declined")], 4)
        .await?;
    // A head that is too long is refused as ever.
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    let offers = "permessage-deflate; mux, ".repeat(2_000);
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Extensions: {offers}\r\n\r\n");
    socket.write(request.as_bytes()).await?;
    let head = socket.read_head().await?;
    ensure!(head.starts_with("HTTP/1.1 431 "), "{head}");
    scene.untroubled().await
}

/// What waits for a slow reader counts as it will be sent.
#[tokio::test]
async fn a_slow_taker_is_cut_by_the_bytes_that_it_would_get() -> Result<()> {
    let config =
        "client: {queue_max_size: 128KiB, compression: {enabled: true, min_size: 1, min_members: 1}}";
    let scene = Scene::open(config).await?;
    let slow = CompressedMember::join(&scene.gateway, "busy").await?;
    let mut listener = member(&scene.gateway, "busy").await?;
    let watch = scene.watch().await?;
    // Six bits of chance a character: three quarters of its length are left.
    let mut chance = fastrand::Rng::with_seed(6);
    let text: String = (0..SIZE)
        .map(|_| {
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[chance.usize(..64)],
            )
        })
        .collect();
    talk_until_cut(&scene, &mut listener, &text).await?;
    watch.cut("slow", 3008).await?;
    let labels = [("room_namespace", "default"), ("reason", "slow_reader")];
    let metrics = scene.gateway.metrics().await?;
    let dropped = metrics
        .value("natter_deliveries_dropped_total", &labels)
        .unwrap_or(0.0);
    ensure!(
        (19.0..=22.0).contains(&dropped),
        "128 KiB of some 6.2 KiB each, but {dropped} were dropped"
    );
    drop(slow);
    settle(&mut listener).await?;
    ensure!(listener.waiting().count() == 0, "a message came twice");
    scene.untroubled().await
}

#[tokio::test]
async fn a_reload_ends_compression_and_not_what_was_agreed() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let mut taker = CompressedMember::join(&scene.gateway, "room").await?;
    let text = "to and fro ".repeat(40);
    let publish = json!({ "id": 3, "publish": { "channel": "room", "data": text } }).to_string();
    taker.say(&publish).await?;
    ensure!(taker.data().await?.0, "not compressed");
    let lines = scene.gateway.logs().len();
    scene
        .gateway
        .write_config("api: {keys: [natter-tests]}\nlog: {level: 'info,natter_gateway=debug'}\n")?;
    scene.gateway.reload()?;
    let said = |line: &natter_tests::gateway::LogLine| line.message() == "configuration reloaded";
    scene.gateway.wait_log_after(lines, said, LIMIT).await?;
    // The worker learns of it a moment after the log line; what this socket sends stays understood.
    natter_tests::wait::eventually("messages come as they are", LIMIT, async || {
        taker.say(&publish).await?;
        let (is_compressed, data) = taker.data().await?;
        ensure!(data == *text, "{data}");
        ensure!(!is_compressed, "still compressed");
        Ok(())
    })
    .await?;
    // Nor do the workers learn of it together.
    natter_tests::wait::eventually("compression is declined", LIMIT, async || {
        let (_, head) = RawSocket::upgraded_with(scene.gateway.public(), PATH, OFFER).await?;
        ensure!(!head.to_lowercase().contains("extensions"), "{head}");
        Ok(())
    })
    .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn python_websockets_takes_and_sends_compressed_messages() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let watch = scene.watch().await?;
    let script = python::start("framing/compressed.py", &[&scene.gateway.ws_url()], &[])?;
    script.wait_success(SCRIPT_LIMIT).await?;
    watch
        .counted("natter_compression_offers_total", &[("result", "declined")], 1)
        .await?;
    watch.counted("natter_protocol_errors_total", &[], 0).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn the_sdk_takes_and_sends_compressed_messages() -> Result<()> {
    let scene = Scene::open(ALWAYS).await?;
    let watch = scene.watch().await?;
    let url = scene.gateway.ws_url();
    let script = node::start("sdk/compressed.mjs", &[], &[("NATTER_URLS", url.as_str())])?;
    script.wait_success(SCRIPT_LIMIT).await?;
    watch.counted(MESSAGES, &[("result", "compressed")], 200).await?;
    watch.counted("natter_protocol_errors_total", &[], 0).await?;
    scene.untroubled().await
}
