//! Bad Protobuf, and rooms of any bytes.

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use natter_tests::node;
use natter_tests::raw::Frame;
use serde_json::json;

use crate::scene::{LIMIT, Scene};

const PROTOBUF: &str = "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n";
const ROOMS: &str = "rooms: {namespaces: [
  {name: bytes, subscribe: anyone, publish: anyone, payload: binary, history: {size: 100, ttl: 1h, read: anyone}},
  {name: texts, subscribe: anyone, publish: anyone}]}\n";

/// Opcode of a binary frame.
const BINARY: u8 = 2;

#[tokio::test]
async fn frames_that_are_no_commands_end_the_connection() -> Result<()> {
    let scene = Scene::open("").await?;
    let text = |text: &str| Frame::text(text).encode();
    let binary = |bytes: &[u8]| Frame::new(BINARY, bytes).encode();
    for (frame, kind) in [
        (text("{\"id\":1,\"connect\":{}}"), "text_frame"),
        (binary(b""), "empty"),
        (binary(b"\x05\x08\x01"), "length"),
        (binary(&[0xff; 64]), "length"),
        (binary(b"\xff\xff\xff\xff\x0f\x08\x01"), "length"),
        (binary(b"\x02\x08\xff"), "wire"),
        (binary(b"\x04\x08\x01\x20\x01"), "field"),
        (binary(b"\x02\x08\x01"), "unknown_command"),
        (binary(b"\x02\x22\x00"), "missing_id"),
        (binary(b"\x06\x08\x01\x22\x00\x2a\x00"), "ambiguous"),
        (binary(b"\x07\x08\x01\x22\x03\x0a\x01\xff"), "text"),
        (binary(b"{\"id\":1,\"connect\":{}}"), "length"),
    ] {
        let watch = scene.watch().await?;
        let (mut socket, head) = natter_tests::raw::RawSocket::upgraded_with(
            scene.gateway.public(),
            "/connection/websocket",
            PROTOBUF,
        )
        .await?;
        ensure!(
            head.to_ascii_lowercase().contains("centrifuge-protobuf"),
            "{head}"
        );
        socket.write(&frame).await?;
        let (code, _) = socket.read_close().await?;
        ensure!(code == 3501, "{kind}: {code}");
        watch
            .counted("natter_protocol_errors_total", &[("kind", kind)], 1)
            .await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn rooms_of_bytes_are_for_those_who_take_them() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let host = scene.gateway.public().to_string();
    let script = node::start("sdk/bytes.mjs", &[], &[("NATTER_HOST", &host)])?;
    let fits = |line: &serde_json::Value| line["event"] == "ready" || line["event"] == "failed";
    let line = script.expect_json(fits, 2 * LIMIT).await?;
    ensure!(line["event"] == "ready", "{line}");
    let sent = [0_u8, 10, 13, 0xff, b'"'];
    let data = BASE64_STANDARD.encode(sent);
    scene
        .gateway
        .api("publish", &json!({ "channel": "bytes:x", "b64data": data }))
        .await?;
    script.wait_success(2 * LIMIT).await?;

    let history = scene
        .gateway
        .api(
            "history",
            &json!({ "channel": "bytes:x", "limit": 10, "reverse": true }),
        )
        .await?;
    let newest = &history["result"]["publications"][0];
    ensure!(
        newest["b64data"] == data && newest.get("data").is_none(),
        "{history}"
    );
    let refused = scene
        .gateway
        .api("publish", &json!({ "channel": "texts:x", "b64data": data }))
        .await?;
    ensure!(refused["error"]["code"] == 107, "{refused}");
    scene.untroubled().await
}
