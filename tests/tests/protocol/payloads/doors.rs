//! Every door by which a message comes in, for rooms of JSON texts and for rooms of bytes: it is refused, or its bytes are those
//! that docs/clients.md says, for whoever reads them by whichever door.

mod readers;
mod writers;

use anyhow::{Context, Result, ensure};
use natter_tests::backend::Backend;
use serde_json::json;

use super::bytes::{BytesClient, messages::Command};
use crate::scene::{Scene, connected};
use readers::Readers;
use writers::{Writer, Writers};

const ROOMS: &str = "rooms:
  namespaces:
  - {name: texts, subscribe: anyone, publish: anyone, history: {size: 10, ttl: 1h, read: anyone}}
  - {name: bytes, payload: binary, subscribe: anyone, publish: anyone, history: {size: 10, ttl: 1h, read: anyone}}
  - {name: judged-texts, publish_proxy: texts, subscribe: anyone, publish: anyone, history: {size: 10, ttl: 1h, read: anyone}}
  - {name: judged-bytes, publish_proxy: bytes, payload: binary, subscribe: anyone, publish: anyone, history: {size: 10, ttl: 1h, read: anyone}}
";

/// JSON that a library would write in another way.
const TEXT: &[u8] = br#"{ "z":1e400, "a":"\u00e9" }"#;
/// JSON with newlines between its tokens, and how it looks without them.
const LINES: &[u8] = b"[1,\r\n 2]";
const ONE_LINE: &[u8] = b"[1, 2]";
/// No JSON, and no text.
const BYTES: &[u8] = b"\x00\n\xff{";
const NOTHING: &[u8] = b"";

/// What becomes of it: bytes, or the code of a refusal.
type Outcome = Result<&'static [u8], u32>;

const BAD_REQUEST: Outcome = Err(107);
/// What a backend answers is not the client's fault.
const INTERNAL: Outcome = Err(100);

/// Who writes what, and what it is in rooms of texts and of bytes.
const TABLE: [(Writer, &[u8], Outcome, Outcome); 20] = [
    (Writer::JsonClient, TEXT, Ok(TEXT), Ok(TEXT)),
    (Writer::ProtobufClient, TEXT, Ok(TEXT), Ok(TEXT)),
    (Writer::ProtobufClient, LINES, Ok(ONE_LINE), Ok(LINES)),
    (Writer::ProtobufClient, BYTES, BAD_REQUEST, Ok(BYTES)),
    (Writer::ProtobufClient, NOTHING, BAD_REQUEST, BAD_REQUEST),
    (Writer::ApiData, TEXT, Ok(TEXT), Ok(TEXT)),
    (Writer::ApiData, LINES, Ok(ONE_LINE), Ok(ONE_LINE)),
    (Writer::ApiBase64, TEXT, Ok(TEXT), Ok(TEXT)),
    (Writer::ApiBase64, LINES, Ok(ONE_LINE), Ok(LINES)),
    (Writer::ApiBase64, BYTES, BAD_REQUEST, Ok(BYTES)),
    (Writer::ApiBase64, NOTHING, BAD_REQUEST, BAD_REQUEST),
    (Writer::RestData, LINES, Ok(ONE_LINE), Ok(ONE_LINE)),
    (Writer::RestBase64, TEXT, Ok(TEXT), Ok(TEXT)),
    (Writer::RestBase64, LINES, Ok(ONE_LINE), Ok(LINES)),
    (Writer::RestBase64, BYTES, BAD_REQUEST, Ok(BYTES)),
    (Writer::RestBase64, NOTHING, BAD_REQUEST, BAD_REQUEST),
    (Writer::ProxyData, LINES, Ok(ONE_LINE), Ok(ONE_LINE)),
    (Writer::ProxyBase64, TEXT, Ok(TEXT), Ok(TEXT)),
    (Writer::ProxyBase64, LINES, Ok(ONE_LINE), Ok(LINES)),
    (Writer::ProxyBase64, BYTES, INTERNAL, Ok(BYTES)),
];

#[tokio::test]
async fn what_comes_in_by_any_door_is_refused_or_read_byte_by_byte_by_every_other() -> Result<()> {
    let backend = Backend::start().await?;
    let proxies = [("texts", ""), ("bytes", ", binary_encoding: true")];
    let proxies = proxies.map(|(name, more)| backend.proxy(name, more)).join(", ");
    let scene = Scene::open(&format!("proxies: [{proxies}]\n{ROOMS}")).await?;
    let mut writers = Writers::new(&scene.gateway, backend).await?;
    for (number, (writer, said, texts, bytes)) in TABLE.into_iter().enumerate() {
        for (namespace, is_binary, expected) in [("texts", false, texts), ("bytes", true, bytes)] {
            let room = format!("{}{namespace}:{number}", writer.prefix());
            let readers = Readers::join(&scene.gateway, &room, is_binary).await?;
            let outcome = pass(&mut writers, (writer, said), readers, expected).await;
            outcome.with_context(|| format!("{writer:?} says {} in {room}", said.escape_ascii()))?;
        }
    }
    scene.untroubled_but("a backend gave no verdict").await
}

async fn pass(
    writers: &mut Writers<'_>,
    (writer, said): (Writer, &[u8]),
    mut readers: Readers<'_>,
    expected: Outcome,
) -> Result<()> {
    let code = writers.say(writer, readers.room, said).await?;
    ensure!(code == expected.err().unwrap_or(0), "answered by {code}");
    if expected.is_err() {
        return readers.nothing().await;
    }
    for (reader, read) in readers.everything().await? {
        ensure!(Ok(&*read) == expected, "{reader} gets {}", read.escape_ascii());
    }
    Ok(())
}

#[tokio::test]
async fn a_room_of_bytes_tells_clients_of_json_why_they_stay_out() -> Result<()> {
    let room = "{name: bytes, payload: binary, subscribe: anyone, publish: anyone, history: {read: anyone}}";
    let scene = Scene::open(&format!("rooms: {{namespaces: [{room}]}}")).await?;
    let mut writer = BytesClient::connected(&scene.gateway).await?;
    let reply = writer.request(Command::publish("bytes:x", BYTES)).await?;
    ensure!(reply.code() == 0, "{reply:?}");
    let mut client = connected(&scene.gateway).await?;
    for command in [
        json!({ "subscribe": { "channel": "bytes:x" } }),
        json!({ "subscribe": { "channel": "bytes:x", "recover": true, "recoverable": true } }),
        json!({ "history": { "channel": "bytes:x", "limit": 10 } }),
    ] {
        let reply = client.request(command).await?;
        let reason = reply["error"]["message"].as_str().unwrap_or_default();
        ensure!(
            reply["error"]["code"] == 107 && reason.contains("payload: binary"),
            "{reply}"
        );
    }
    scene.untroubled().await
}
