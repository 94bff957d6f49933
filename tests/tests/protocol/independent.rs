//! Clients that share no code with the gateway's framing: `tokio-tungstenite` here, Python's `websockets` by scripts.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{SinkExt, StreamExt};
use natter_tests::python;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::scene::Scene;

const SCRIPT_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn tungstenite_talks_in_fragments_and_closes() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    let (mut socket, _) = connect_async(scene.gateway.ws_url()).await?;
    socket
        .send(Message::text(
            "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"room\"}}",
        ))
        .await?;
    let frame =
        |text: &'static str, code, last| Message::Frame(Frame::message(text, OpCode::Data(code), last));
    socket
        .send(frame("{\"id\":3,\"publish\":{\"chan", Data::Text, false))
        .await?;
    socket.send(Message::Ping("between".into())).await?;
    socket
        .send(frame("nel\":\"room\",\"data\":\"in ", Data::Continue, false))
        .await?;
    socket.send(frame("pieces\"}}", Data::Continue, true)).await?;
    let (mut said, mut ponged) = (None, false);
    while said.is_none() || !ponged {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let value: Value = serde_json::from_str(&text)?;
                said = said.or_else(|| value["push"]["pub"]["data"].as_str().map(str::to_owned));
            }
            Some(Ok(Message::Pong(payload))) => ponged = payload == "between",
            other => anyhow::bail!("unexpected {other:?}"),
        }
    }
    ensure!(said.as_deref() == Some("in pieces"), "{said:?}");
    let goodbye = CloseFrame {
        code: CloseCode::Away,
        reason: "going".into(),
    };
    socket.close(Some(goodbye)).await?;
    let answer = socket.next().await;
    ensure!(
        matches!(&answer, Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Away),
        "{answer:?}"
    );
    ensure!(
        socket.next().await.is_none(),
        "the connection did not end cleanly"
    );
    watch.ended("closed_by_peer").await?;
    scene.untroubled().await
}

#[tokio::test]
async fn python_websockets_converses_and_closes_from_both_sides() -> Result<()> {
    let scene = Scene::open("client: {user_id_header: x-user, anonymous: allow}").await?;
    let watch = scene.watch().await?;
    let url = scene.gateway.ws_url();
    let script = python::start("framing/conversation.py", &[&url], &[])?;
    // The gateway closes the second connection when the script asks for it; the first it closes by itself.
    script
        .expect_json(|line| line["event"] == "disconnect me", SCRIPT_LIMIT)
        .await?;
    let request = json!({ "user": "python", "disconnect": { "code": 4000, "reason": "enough" } });
    scene.gateway.api("disconnect", &request).await?;
    script.wait_success(SCRIPT_LIMIT).await?;
    watch
        .counted("natter_disconnects_total", &[("reason", "closed_by_peer")], 1)
        .await?;
    watch
        .counted("natter_disconnects_total", &[("reason", "chosen")], 1)
        .await?;
    watch.counted("natter_disconnects_total", &[], 2).await?;
    watch.counted("natter_protocol_errors_total", &[], 0).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn python_websockets_understands_every_refusal() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    let script = python::start("framing/refusals.py", &[&scene.gateway.ws_url()], &[])?;
    script.wait_success(SCRIPT_LIMIT).await?;
    for (kind, count) in [("message_too_big", 3), ("invalid_utf8", 1), ("syntax", 1)] {
        watch
            .counted("natter_protocol_errors_total", &[("kind", kind)], count)
            .await?;
    }
    watch
        .counted("natter_connections_refused_total", &[("reason", "origin")], 1)
        .await?;
    scene.untroubled().await
}
