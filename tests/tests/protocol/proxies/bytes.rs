//! Clients and rooms whose data is any bytes, and backends that take base64, or JSON alone.

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use natter_tests::backend::{Asked, Backend};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

use super::beside;
use crate::payloads::bytes::{
    BytesClient,
    messages::{Command, Reply},
};

const CLIENT: &str = "client: {connect_proxy: backend, rpc_proxy: backend}
rooms:
  namespaces:
  - {name: texts, subscribe: anyone, publish: anyone, subscribe_proxy: backend, publish_proxy: backend}
";
const ROOMS_OF_BYTES: &str =
    "  - {name: bytes, payload: binary, subscribe: anyone, publish: anyone, subscribe_proxy: backend, publish_proxy: backend}
";

/// No JSON, and no text.
const BYTES: &[u8] = b"\x00\n\xff{";
const OTHERS: &[u8] = b"\xfe\x00\x80";

async fn scene() -> Result<(Backend, Gateway)> {
    let backend = Backend::start().await?;
    let rooms = format!("{CLIENT}{ROOMS_OF_BYTES}");
    let gateway = beside(&backend, ", binary_encoding: true", &rooms).await?;
    Ok((backend, gateway))
}

fn base64(bytes: &[u8]) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

/// The question brings these bytes as base64, and as nothing else.
fn expect(asked: &Asked, protocol: &str, data: &[u8]) -> Result<()> {
    let body = &asked.body;
    ensure!(
        body["protocol"] == protocol && body["encoding"] == "binary" && body["transport"] == "websocket",
        "{body}"
    );
    ensure!(
        body["b64data"] == base64(data) && body.get("data").is_none(),
        "{body}"
    );
    Ok(())
}

/// A command with any bytes, which the backend is told, answers, and whose reply comes back.
async fn ask(
    client: &mut BytesClient,
    backend: &mut Backend,
    command: Command,
    answer: &Value,
) -> Result<Reply> {
    let id = client.send(command).await?;
    let asked = backend.asked().await?;
    expect(&asked, "protobuf", BYTES)?;
    asked.result(answer)?;
    client.reply(id).await
}

#[tokio::test]
async fn a_backend_that_takes_bytes_has_those_of_protobuf_clients_and_answers_with_its_own() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = BytesClient::open(&gateway).await?;
    let own = json!({ "user": "ann", "b64data": base64(OTHERS) });
    let reply = ask(&mut client, &mut backend, Command::connect(BYTES), &own).await?;
    ensure!(reply.connect.is_some_and(|connect| connect.data == OTHERS));
    for room in ["texts:x", "bytes:x"] {
        let command = Command::subscribe(room, BYTES);
        let reply = ask(&mut client, &mut backend, command, &own).await?;
        ensure!(reply.subscribe.is_some_and(|subscribe| subscribe.data == OTHERS));
    }
    for (answer, data) in [
        (own, OTHERS),
        (json!({ "data": { "a": 1 } }), b"{\"a\":1}".as_slice()),
        (json!({}), b""),
    ] {
        let reply = ask(&mut client, &mut backend, Command::rpc(BYTES), &answer).await?;
        ensure!(reply.rpc.is_some_and(|rpc| rpc.data == data), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_said_in_a_room_of_bytes_is_permitted_or_changed_byte_by_byte() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = BytesClient::open(&gateway).await?;
    ask(
        &mut client,
        &mut backend,
        Command::connect(BYTES),
        &json!({ "user": "ann" }),
    )
    .await?;
    ask(
        &mut client,
        &mut backend,
        Command::subscribe("bytes:x", BYTES),
        &json!({}),
    )
    .await?;
    for (answer, heard) in [
        (json!({}), BYTES),
        (json!({ "b64data": base64(OTHERS) }), OTHERS),
        (json!({ "data": { "a": 1 } }), b"{\"a\":1}"),
    ] {
        let command = Command::publish("bytes:x", BYTES);
        let reply = ask(&mut client, &mut backend, command, &answer).await?;
        ensure!(reply.code() == 0, "{answer}: {reply:?}");
        ensure!(client.heard().await? == heard, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_that_takes_bytes_has_the_texts_of_json_clients_and_answers_with_json() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client
        .send(&json!({ "id": 1, "connect": { "data": { "ticket": 7 } } }))
        .await?;
    let asked = backend.asked().await?;
    expect(&asked, "json", b"{\"ticket\":7}")?;
    asked.result(&json!({ "user": "ann", "b64data": base64(b"[1]") }))?;
    ensure!(client.recv().await?["connect"]["data"] == json!([1]));
    for (answer, reply) in [
        (
            json!({ "b64data": base64(b"{\"a\": 1}") }),
            json!({ "id": 5, "rpc": { "data": { "a": 1 } } }),
        ),
        (json!({ "data": [2] }), json!({ "id": 5, "rpc": { "data": [2] } })),
        // A client of JSON cannot be given that.
        (
            json!({ "b64data": base64(BYTES) }),
            json!({ "id": 5, "error": { "code": 100, "message": "internal server error", "temporary": true } }),
        ),
    ] {
        client
            .send(&json!({ "id": 5, "rpc": { "method": "m", "data": "text" } }))
            .await?;
        let asked = backend.asked().await?;
        expect(&asked, "json", b"\"text\"")?;
        asked.result(&answer)?;
        assert_eq!(client.recv().await?, reply, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_that_takes_json_is_not_asked_with_other_bytes() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", CLIENT).await?;
    let mut client = BytesClient::open(&gateway).await?;
    let reply = client.request(Command::connect(BYTES)).await?;
    ensure!(reply.code() == 107, "{reply:?}");
    ensure!(client.closed().await? == 3501);

    let mut client = BytesClient::open(&gateway).await?;
    let id = client.send(Command::connect(b"{\"ticket\": 7}")).await?;
    let asked = backend.asked().await?;
    let body = &asked.body;
    ensure!(
        body["protocol"] == "protobuf"
            && body["encoding"] == "json"
            && body["data"] == json!({ "ticket": 7 }),
        "{body}"
    );
    ensure!(body.get("b64data").is_none(), "{body}");
    asked.result(&json!({ "user": "ann" }))?;
    ensure!(client.reply(id).await?.connect.is_some());
    for command in [
        Command::subscribe("texts:x", BYTES),
        Command::publish("texts:x", BYTES),
        Command::rpc(BYTES),
    ] {
        let reply = client.request(command.clone()).await?;
        ensure!(reply.code() == 107, "{command:?}: {reply:?}");
    }
    ensure!(!backend.is_asked());
    Ok(())
}
