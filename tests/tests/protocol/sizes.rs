//! How much one frame or request may hold, in both encodings.

use anyhow::{Context, Result, ensure};
use natter_tests::wire::{Encoding, Transport, Wire, emulation_request};
use reqwest::Client as Http;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::scene::{LIMIT, Scene};
use crate::streams::post;

const MOST: usize = 4_096;
const CONFIG: &str = "client: {message_size_limit: 4096}\n";
const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// A command of exactly so many bytes; `command` makes it of a text, the more of it the longer it is.
fn of_length(encoding: Encoding, length: usize, command: impl Fn(String) -> Value) -> Result<Vec<u8>> {
    let write = |text: usize| encoding.write(&[command("x".repeat(text))]);
    let less = length - 100;
    let bytes = write(length - (write(less)?.len() - less))?;
    ensure!(bytes.len() == length, "{} bytes", bytes.len());
    Ok(bytes)
}

fn publish(encoding: Encoding, length: usize) -> Result<Vec<u8>> {
    of_length(
        encoding,
        length,
        |text| json!({ "id": 9, "publish": { "channel": "room", "data": text } }),
    )
}

fn connect(encoding: Encoding, length: usize) -> Result<Vec<u8>> {
    of_length(
        encoding,
        length,
        |text| json!({ "id": 1, "connect": { "data": text } }),
    )
}

async fn member(scene: &Scene, transport: Transport, encoding: Encoding) -> Result<(Wire, Value)> {
    let (mut wire, mut reply) = Wire::connect(scene.gateway.public(), transport, encoding, json!({})).await?;
    let joined = wire
        .request(json!({ "subscribe": { "channel": "room" } }))
        .await?;
    ensure!(joined.get("subscribe").is_some(), "{joined}");
    Ok((wire, reply["connect"].take()))
}

/// The own message comes back whole.
async fn says(wire: &mut Wire, bytes: Vec<u8>) -> Result<()> {
    wire.send_bytes(bytes).await?;
    let push = wire.recv_where(|value| value.get("push").is_some()).await?;
    let text = push["push"]["pub"]["data"].as_str().context("no text")?;
    ensure!(text.len() > MOST - 100, "{} bytes came back", text.len());
    let reply = wire.recv_where(|value| value["id"] == 9).await?;
    ensure!(reply.get("publish").is_some(), "{reply}");
    Ok(())
}

#[tokio::test]
async fn a_frame_of_the_limit_passes_and_one_byte_more_closes_with_1009() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    for encoding in BOTH {
        let (mut wire, _) = member(&scene, Transport::WebSocket, encoding).await?;
        says(&mut wire, publish(encoding, MOST)?).await?;
        let watch = scene.watch().await?;
        wire.send_bytes(publish(encoding, MOST + 1)?).await?;
        let end = wire.recv().await?.context("it ended without a word")?;
        let end = &end["push"]["disconnect"];
        ensure!(
            *end == json!({ "code": 1009, "reason": "message_too_big" }),
            "{encoding:?}: {end}"
        );
        let labels = [("kind", "message_too_big")];
        watch.counted("natter_protocol_errors_total", &labels, 1).await?;
        watch.cut("message_too_big", 1009).await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn what_is_said_for_a_stream_has_the_same_limit_and_is_refused_beyond() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let http = Http::new();
    for (transport, encoding) in [
        (Transport::Sse, Encoding::Json),
        (Transport::HttpStream, Encoding::Json),
        (Transport::HttpStream, Encoding::Protobuf),
    ] {
        let (mut wire, names) = member(&scene, transport, encoding).await?;
        says(&mut wire, publish(encoding, MOST)?).await?;
        let watch = scene.watch().await?;
        // Just too much, and more than the body may have, were all of it escaped.
        for length in [MOST + 1, 7 * MOST] {
            let body = emulation_request(encoding, &names, &publish(encoding, length)?)?;
            let status = post(&http, &scene, encoding, body).await?;
            ensure!(status == 413, "{transport:?}, {encoding:?}, {length}: {status}");
        }
        watch
            .counted("natter_handshake_failures_total", &[("kind", "too_large")], 2)
            .await?;
        // It is none the worse.
        says(&mut wire, publish(encoding, MOST)?).await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn the_body_that_opens_a_stream_has_the_same_limit() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let (gateway, url) = (
        scene.gateway.public(),
        format!("{}/connection/http_stream", scene.gateway.http_url()),
    );
    for encoding in BOTH {
        let first = connect(encoding, MOST)?;
        let mut wire = Wire::open(gateway, Transport::HttpStream, encoding, first).await?;
        let reply = wire.recv().await?.context("it ended")?;
        ensure!(reply["connect"]["client"].is_string(), "{encoding:?}: {reply}");
        let too_much = Http::new()
            .post(&url)
            .header("content-type", encoding.media_type())
            .body(connect(encoding, MOST + 1)?);
        let watch = scene.watch().await?;
        let answer = timeout(LIMIT, too_much.send()).await??;
        ensure!(answer.status() == 413, "{encoding:?}: {}", answer.status());
        watch
            .counted("natter_handshake_failures_total", &[("kind", "too_large")], 1)
            .await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn many_commands_in_one_frame_are_done_in_their_order() -> Result<()> {
    const MANY: u32 = 1_000;
    let scene = Scene::open("").await?;
    for (transport, encoding) in [
        (Transport::WebSocket, Encoding::Json),
        (Transport::WebSocket, Encoding::Protobuf),
        (Transport::Sse, Encoding::Json),
        (Transport::HttpStream, Encoding::Json),
        (Transport::HttpStream, Encoding::Protobuf),
    ] {
        let (mut wire, _) = member(&scene, transport, encoding).await?;
        let commands: Vec<_> = (0..MANY)
            .map(|number| json!({ "id": number + 100, "publish": { "channel": "room", "data": number } }))
            .collect();
        wire.send(&commands).await?;
        let (mut said, mut answered) = (0, 0);
        while said < MANY || answered < MANY {
            let value = wire.recv().await?.context("it ended")?;
            if value.get("id").is_some() {
                ensure!(value == json!({ "id": answered + 100, "publish": {} }), "{value}");
                answered += 1;
            } else {
                ensure!(
                    value["push"]["pub"]["data"] == said,
                    "{value} where {said} was due"
                );
                said += 1;
            }
        }
    }
    scene.untroubled().await
}
