//! Which encoding a connection speaks, and what happens to whoever mixes the two on one connection.

use anyhow::{Context, Result, ensure};
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wire::{Encoding, Transport, Wire, emulation_request};
use reqwest::Client as Http;
use serde_json::{Value, json};

use crate::bad_frames::ends;
use crate::scene::Scene;
use crate::streams::post;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PATH: &str = "/connection/websocket";
const OFFERS_PROTOBUF: &str = "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n";

fn opcode(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Json => TEXT,
        Encoding::Protobuf => BINARY,
    }
}

fn other(encoding: Encoding) -> Encoding {
    match encoding {
        Encoding::Json => Encoding::Protobuf,
        Encoding::Protobuf => Encoding::Json,
    }
}

fn connect() -> Value {
    json!({ "id": 1, "connect": {} })
}

/// A command that has no byte of more than 7 bits in either encoding.
fn rpc() -> Value {
    json!({ "id": 2, "rpc": { "method": "m" } })
}

/// One that in Protobuf is no UTF-8: its length takes two bytes.
fn long() -> Value {
    json!({ "id": 2, "publish": { "channel": "a", "data": "x".repeat(200) } })
}

fn frame(opcode: u8, encoding: Encoding, command: Value) -> Result<Frame> {
    Ok(Frame::new(opcode, encoding.write(&[command])?))
}

#[tokio::test]
async fn a_websocket_speaks_what_its_subprotocol_says_and_else_what_its_address_says() -> Result<()> {
    let scene = Scene::open("").await?;
    let (json, protobuf) = (Encoding::Json, Encoding::Protobuf);
    for (query, offered, encoding, chosen) in [
        ("", "", json, None),
        ("?format=json", "", json, None),
        ("?format=Protobuf", "", json, None),
        ("?format=protobuf", "", protobuf, None),
        ("?cf_protocol=protobuf", "", protobuf, None),
        ("?a=b&format=protobuf&c", "", protobuf, None),
        ("", "centrifuge-json", json, Some("centrifuge-json")),
        ("", "centrifuge-protobuf", protobuf, Some("centrifuge-protobuf")),
        (
            "",
            "other, centrifuge-protobuf",
            protobuf,
            Some("centrifuge-protobuf"),
        ),
        ("", "other", json, None),
        ("?format=protobuf", "other", protobuf, None),
        (
            "?format=protobuf",
            "centrifuge-json",
            json,
            Some("centrifuge-json"),
        ),
        (
            "?cf_protocol=protobuf",
            "centrifuge-json",
            json,
            Some("centrifuge-json"),
        ),
        (
            "?format=json",
            "centrifuge-protobuf",
            protobuf,
            Some("centrifuge-protobuf"),
        ),
        (
            "",
            "centrifuge-json, centrifuge-protobuf",
            protobuf,
            Some("centrifuge-protobuf"),
        ),
    ] {
        let what = format!("{query:?}, {offered:?}");
        let header = match offered {
            "" => String::new(),
            offered => format!("Sec-WebSocket-Protocol: {offered}\r\n"),
        };
        let path = format!("{PATH}{query}");
        let (mut socket, head) = RawSocket::upgraded_with(scene.gateway.public(), &path, &header).await?;
        let head = head.to_ascii_lowercase();
        let answered = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        ensure!(answered == chosen, "{what}: {head}");
        let command = frame(opcode(encoding), encoding, connect())?;
        socket.write_frame(&command).await?;
        let (got, payload) = socket.read_frame().await?;
        ensure!(got == opcode(encoding), "{what}: opcode {got}");
        let replies = encoding.read(&payload).context(what.clone())?;
        ensure!(replies[0]["connect"]["client"].is_string(), "{what}: {replies:?}");
    }
    scene.untroubled().await
}

/// Before the connection is one and afterwards; the reason of 1007 is the kind of the error.
#[tokio::test]
async fn frames_of_the_other_encoding_end_a_websocket() -> Result<()> {
    let scene = Scene::open("").await?;
    let (json, protobuf) = (Encoding::Json, Encoding::Protobuf);
    for is_connected in [false, true] {
        for (speaks, opcode, encoding, command, code, kind) in [
            (json, BINARY, protobuf, connect(), 3501, "syntax"),
            (json, BINARY, protobuf, rpc(), 3501, "syntax"),
            (json, BINARY, protobuf, long(), 1007, "invalid_utf8"),
            (json, TEXT, protobuf, rpc(), 3501, "syntax"),
            (protobuf, TEXT, json, connect(), 3501, "text_frame"),
            (protobuf, TEXT, json, json!({}), 3501, "text_frame"),
            (protobuf, TEXT, protobuf, rpc(), 3501, "text_frame"),
            (protobuf, BINARY, json, connect(), 3501, "length"),
            (protobuf, BINARY, json, rpc(), 3501, "length"),
        ] {
            let what = format!("{speaks:?}, {encoding:?} in {opcode}, {command}, {is_connected}");
            let mut socket = socket(&scene, speaks).await?;
            if is_connected {
                connected(&mut socket, speaks).await?;
            }
            let watch = scene.watch().await?;
            socket.write_frame(&frame(opcode, encoding, command)?).await?;
            let (got, reason) = socket.read_close().await?;
            let due = if code == 3501 { "bad request" } else { kind };
            ensure!((got, &*reason) == (code, due), "{what}: {got} {reason}");
            watch
                .counted("natter_protocol_errors_total", &[("kind", kind)], 1)
                .await
                .context(what)?;
            watch.counted("natter_protocol_errors_total", &[], 1).await?;
        }
    }
    scene.untroubled().await
}

/// As the reference server does.
#[tokio::test]
async fn json_may_come_in_binary_frames_and_is_answered_in_texts() -> Result<()> {
    let scene = Scene::open("").await?;
    let mut socket = socket(&scene, Encoding::Json).await?;
    for (command, answer) in [(connect(), "connect"), (rpc(), "error"), (long(), "publish")] {
        let command = frame(BINARY, Encoding::Json, command)?;
        socket.write_frame(&command).await?;
        let (got, payload) = socket.read_frame().await?;
        let replies = Encoding::Json.read(&payload)?;
        ensure!(
            got == TEXT && replies[0].get(answer).is_some(),
            "{got}: {replies:?}"
        );
    }
    scene.untroubled().await
}

async fn socket(scene: &Scene, encoding: Encoding) -> Result<RawSocket> {
    let offers = match encoding {
        Encoding::Json => "",
        Encoding::Protobuf => OFFERS_PROTOBUF,
    };
    let gateway = scene.gateway.public();
    Ok(RawSocket::upgraded_with(gateway, PATH, offers).await?.0)
}

async fn connected(socket: &mut RawSocket, encoding: Encoding) -> Result<()> {
    let command = frame(opcode(encoding), encoding, connect())?;
    socket.write_frame(&command).await?;
    let (_, payload) = socket.read_frame().await?;
    let replies = encoding.read(&payload)?;
    ensure!(replies[0].get("connect").is_some(), "{replies:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_is_refused_that_begins_in_the_other_encoding() -> Result<()> {
    let scene = Scene::open("").await?;
    for (encoding, kind) in [(Encoding::Json, "syntax"), (Encoding::Protobuf, "length")] {
        let watch = scene.watch().await?;
        let first = other(encoding).write(&[connect()])?;
        let gateway = scene.gateway.public();
        let wire = Wire::open(gateway, Transport::HttpStream, encoding, first).await?;
        ends(wire, &watch, kind)
            .await
            .with_context(|| format!("{encoding:?}"))?;
    }
    scene.untroubled().await
}

/// What a request is in says nothing of the commands in it, which are the stream's: a client may have one kind of both.
#[tokio::test]
async fn commands_are_in_the_encoding_of_their_stream_whatever_their_request_is_in() -> Result<()> {
    let scene = Scene::open("").await?;
    let http = Http::new();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let (mut wire, names) = stream(&scene, Transport::HttpStream, encoding).await?;
        let commands = encoding.write(&[rpc()])?;
        for request in [Encoding::Json, Encoding::Protobuf] {
            let what = format!("{encoding:?} in {request:?}");
            let body = emulation_request(request, &names, &commands)?;
            // Whoever says wrongly what the request is in is not understood.
            let status = post(&http, &scene, other(request), body.clone()).await?;
            ensure!(status == 400, "{what}: {status}");
            let status = post(&http, &scene, request, body).await?;
            ensure!(status == 204, "{what}: {status}");
            let reply = wire.recv().await?.context("it ended")?;
            ensure!(
                reply["id"] == 2 && reply["error"]["code"] == 108,
                "{what}: {reply}"
            );
        }
    }
    scene.untroubled().await
}

#[tokio::test]
async fn commands_of_the_other_encoding_end_a_stream() -> Result<()> {
    let scene = Scene::open("").await?;
    let http = Http::new();
    let (json, protobuf) = (Encoding::Json, Encoding::Protobuf);
    for (speaks, request, command, kind) in [
        (json, json, rpc(), "syntax"),
        (json, protobuf, rpc(), "syntax"),
        (json, protobuf, long(), "invalid_utf8"),
        (protobuf, json, rpc(), "length"),
        (protobuf, protobuf, rpc(), "length"),
    ] {
        let commands = other(speaks).write(&[command])?;
        for transport in streams_of(speaks) {
            let what = format!("{transport:?}, {speaks:?}, {kind}");
            let (wire, names) = stream(&scene, *transport, speaks).await?;
            let watch = scene.watch().await?;
            let body = emulation_request(request, &names, &commands)?;
            let status = post(&http, &scene, request, body).await?;
            ensure!(status == 204, "{what}: {status}");
            ends(wire, &watch, kind).await.context(what)?;
        }
    }
    scene.untroubled().await
}

fn streams_of(encoding: Encoding) -> &'static [Transport] {
    match encoding {
        Encoding::Json => &[Transport::Sse, Transport::HttpStream],
        Encoding::Protobuf => &[Transport::HttpStream],
    }
}

/// A stream, and the names by which requests speak for it.
async fn stream(scene: &Scene, transport: Transport, encoding: Encoding) -> Result<(Wire, Value)> {
    let gateway = scene.gateway.public();
    let (wire, mut reply) = Wire::connect(gateway, transport, encoding, json!({})).await?;
    Ok((wire, reply["connect"].take()))
}
