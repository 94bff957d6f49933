//! Where a client is, as proxies say it: those that are trusted are believed, nobody else.

use anyhow::{Result, ensure};
use natter_tests::raw::RawSocket;
use serde_json::json;

use crate::raw_member::PATH;
use crate::scene::{LIMIT, Scene};

const HANDSHAKE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn trusting(networks: &str) -> String {
    format!("http: {{trusted_proxies: [{networks}]}}\nclient: {{user_id_header: x-user, anonymous: allow}}\n")
}

/// Opens a connection that brings these headers; where the gateway sees its client, and who it is.
async fn seen(scene: &Scene, headers: &str) -> Result<(String, String)> {
    let before = scene.gateway.logs().len();
    let _socket = RawSocket::upgraded_with(scene.gateway.public(), PATH, headers).await?;
    let line = async |message: &str| {
        scene
            .gateway
            .wait_log_after(before, |line| line.message() == message, LIMIT)
            .await
    };
    let (accepted, opened) = (line("accepted").await?, line("opened").await?);
    let text = |value: Option<&serde_json::Value>| {
        let text = value.and_then(serde_json::Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    Ok((text(accepted.field("client")), text(opened.field("user"))))
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_asks() -> Result<()> {
    let scene = Scene::open(&trusting("127.0.0.0/8, 10.0.0.0/8")).await?;
    for (headers, client, user) in [
        ("X-User: ann\r\n", "127.0.0.1", "ann"),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-User: ann\r\n",
            "192.0.2.7",
            "ann",
        ),
        (
            "X-Forwarded-For: 1.1.1.1, 192.0.2.7, 10.0.0.9\r\n",
            "192.0.2.7",
            "",
        ),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
            "192.0.2.7",
            "",
        ),
    ] {
        let found = seen(&scene, headers).await?;
        ensure!(
            found == (client.to_owned(), user.to_owned()),
            "{headers:?}: {found:?}"
        );
    }
    scene.untroubled().await
}

#[tokio::test]
async fn nobody_else_is_believed() -> Result<()> {
    let scene = Scene::open(&trusting("10.0.0.0/8")).await?;
    let found = seen(&scene, "X-Forwarded-For: 192.0.2.7\r\nX-User: root\r\n").await?;
    ensure!(found == ("127.0.0.1".to_owned(), String::new()), "{found:?}");
    scene.untroubled().await
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_and_has_to() -> Result<()> {
    let config = "http: {trusted_proxies: [127.0.0.1/32], proxy_protocol: true, header_timeout: 500ms}\n";
    // Nobody chats here: the bystander's connection would need the header as well.
    let gateway = crate::scene::gateway(config).await?;
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    version_2.extend([192, 0, 2, 8, 10, 0, 0, 1, 0x12, 0x67, 0x1f, 0x40]);
    for (header, client) in [
        (&b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 8000\r\n"[..], "192.0.2.7"),
        (&version_2, "192.0.2.8"),
    ] {
        let before = gateway.logs().len();
        let mut socket = RawSocket::connect(gateway.public()).await?;
        socket.write(&[header, HANDSHAKE.as_bytes()].concat()).await?;
        let head = socket.read_head().await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let accepted = |line: &natter_tests::gateway::LogLine| {
            line.message() == "accepted" && line.field("client") == Some(&json!(client))
        };
        gateway.wait_log_after(before, accepted, LIMIT).await?;
    }
    for (bytes, kind) in [
        (HANDSHAKE, "proxy_protocol"),
        ("PROXY TCP4 here there 1 2\r\n", "proxy_protocol"),
        ("PROXY TCP4 192.0", "timeout"),
    ] {
        let before = gateway.logs().len();
        let mut socket = RawSocket::connect(gateway.public()).await?;
        socket.write(bytes.as_bytes()).await?;
        ensure!(socket.read_to_end().await?.is_empty(), "{bytes:?} is answered");
        let failed = |line: &natter_tests::gateway::LogLine| {
            line.message() == "handshake failed" && line.field("kind") == Some(&json!(kind))
        };
        gateway.wait_log_after(before, failed, LIMIT).await?;
    }
    Ok(())
}
