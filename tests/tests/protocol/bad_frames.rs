//! What is no command, over everything that carries commands: the connection ends with 3501, counted by what was wrong.

use anyhow::{Context, Result, ensure};
use natter_tests::wire::{Encoding, Transport, Wire};
use serde_json::json;

use crate::scene::{Scene, Watch};

/// What ends a connection, and the kind under which it is counted. More of them over a WebSocket: `refused`.
const JSON: &[(&[u8], &str)] = &[
    (b"", "empty"),
    (b"\n \r\n", "empty"),
    (b"garbage", "syntax"),
    (b"{\"id\":2,\"rpc\":{}", "syntax"),
    (b"[]", "data"),
    (b"{\"id\":\"2\",\"rpc\":{}}", "data"),
    (b"{\"id\":2,\"subscribe\":{\"channel\":7}}", "data"),
    (b"{\"id\":0,\"subscribe\":{\"channel\":\"a\"}}", "missing_id"),
    (b"{\"id\":2,\"teleport\":{}}", "unknown_command"),
    (b"{\"id\":2,\"rpc\":{},\"connect\":{}}", "ambiguous"),
];

const PROTOBUF: &[(&[u8], &str)] = &[
    (b"", "empty"),
    (b"\x05\x08\x01", "length"),
    (&[0xff; 64], "length"),
    (b"\xff\xff\xff\xff\x0f\x08\x01", "length"),
    (b"\x02\x08\xff", "wire"),
    (b"\x04\x08\x01\x20\x01", "field"),
    (b"\x02\x08\x01", "unknown_command"),
    (b"\x02\x22\x00", "missing_id"),
    (b"\x06\x08\x01\x22\x00\x2a\x00", "ambiguous"),
    (b"\x07\x08\x01\x22\x03\x0a\x01\xff", "text"),
    (b"{\"id\":1,\"connect\":{}}", "length"),
];

#[tokio::test]
async fn websocket_json() -> Result<()> {
    are_refused(Transport::WebSocket, Encoding::Json, JSON).await
}

#[tokio::test]
async fn websocket_protobuf() -> Result<()> {
    are_refused(Transport::WebSocket, Encoding::Protobuf, PROTOBUF).await
}

#[tokio::test]
async fn sse_json() -> Result<()> {
    are_refused(Transport::Sse, Encoding::Json, JSON).await
}

#[tokio::test]
async fn http_stream_json() -> Result<()> {
    are_refused(Transport::HttpStream, Encoding::Json, JSON).await
}

#[tokio::test]
async fn http_stream_protobuf() -> Result<()> {
    are_refused(Transport::HttpStream, Encoding::Protobuf, PROTOBUF).await
}

/// As the first frame or in the request itself, and later, where that of a stream is a request of its own.
async fn are_refused(transport: Transport, encoding: Encoding, frames: &[(&[u8], &str)]) -> Result<()> {
    let scene = Scene::open("").await?;
    let gateway = scene.gateway.public();
    for (frame, kind) in frames {
        // An address that asks for nothing is no request: `streams`.
        if transport != Transport::Sse || !frame.is_empty() {
            let watch = scene.watch().await?;
            let wire = Wire::open(gateway, transport, encoding, frame.to_vec()).await?;
            let ended = ends(wire, &watch, kind).await;
            ended.with_context(|| format!("{frame:?} at first"))?;
        }
        let (mut wire, _) = Wire::connect(gateway, transport, encoding, json!({})).await?;
        let watch = scene.watch().await?;
        wire.send_bytes(frame.to_vec()).await?;
        let ended = ends(wire, &watch, kind).await;
        ended.with_context(|| format!("{frame:?} later"))?;
    }
    scene.untroubled().await
}

/// The connection ends, says why and is counted, and nothing else is.
pub(crate) async fn ends(mut wire: Wire, watch: &Watch<'_>, kind: &str) -> Result<()> {
    let end = wire.recv().await?.context("it ended without a word")?;
    let expected = json!({ "push": { "disconnect": { "code": 3501, "reason": "bad request" } } });
    ensure!(end == expected, "{end}");
    ensure!(wire.recv().await?.is_none(), "it goes on");
    watch
        .counted("natter_protocol_errors_total", &[("kind", kind)], 1)
        .await?;
    watch.counted("natter_protocol_errors_total", &[], 1).await?;
    watch.ended("bad_request").await
}
