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

/// Whom a proxy connects for without naming it: whatever headers say is then the client's own word, though the balancer that brought
/// it is trusted.
#[tokio::test]
async fn whoever_the_proxy_protocol_does_not_name_is_not_believed() -> Result<()> {
    let config = "http: {trusted_proxies: [127.0.0.1/32], proxy_protocol: true}\n\
        client: {user_id_header: x-user, anonymous: allow}\n";
    let gateway = crate::scene::gateway(config).await?;
    let request = HANDSHAKE.replacen("\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\nX-User: root\r\n", 1);
    let version_2 = |command: u8| [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0, 0, 0][..]].concat();
    for (header, client, user) in [
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1", ""),
        // LOCAL, and PROXY for an address of no known kind.
        (version_2(0x20), "127.0.0.1", ""),
        (version_2(0x21), "127.0.0.1", ""),
        // A second proxy behind the first is believed.
        (
            b"PROXY TCP4 127.0.0.1 10.0.0.1 4711 8000\r\n".to_vec(),
            "192.0.2.7",
            "root",
        ),
    ] {
        let before = gateway.logs().len();
        let mut socket = RawSocket::connect(gateway.public()).await?;
        socket.write(&[&header, request.as_bytes()].concat()).await?;
        let head = socket.read_head().await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        for (message, field, expected) in [("accepted", "client", client), ("opened", "user", user)] {
            let line = |line: &natter_tests::gateway::LogLine| line.message() == message;
            let line = gateway.wait_log_after(before, line, LIMIT).await?;
            let found = line.field(field).and_then(serde_json::Value::as_str);
            ensure!(
                found.unwrap_or_default() == expected,
                "{header:?}: {field} {found:?}"
            );
        }
    }
    Ok(())
}

/// Requests of one client through a proxy count for the client, also where the next client comes through the same one.
#[tokio::test]
async fn limits_of_addresses_count_clients_and_not_their_proxies() -> Result<()> {
    const LIMITS: &str = "client: {address_connection_limit: 2, anonymous: allow}\n\
        api: {keys: [natter-tests], wrong_key_limit: 1}\n";
    for (trusted, apart) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let config = format!("http: {{trusted_proxies: [{trusted}]}}\n{LIMITS}");
        let gateway = natter_tests::gateway::Gateway::builder()
            .config(&config)
            .start()
            .await?;
        let mut open = Vec::new();
        for (client, is_another) in [("192.0.2.1", false), ("192.0.2.2", true), ("192.0.2.2", true)] {
            let header = format!("X-Forwarded-For: {client}\r\n");
            let fill = if is_another { 1 } else { 2 };
            for _ in 0..fill {
                let upgraded = RawSocket::upgraded_with(gateway.public(), PATH, &header).await;
                ensure!(upgraded.is_ok() == (apart || !is_another), "{trusted}: {client}");
                open.extend(upgraded);
            }
        }
        let header = "X-Forwarded-For: 192.0.2.1\r\n";
        ensure!(
            RawSocket::upgraded_with(gateway.public(), PATH, header)
                .await
                .is_err()
        );

        let http = reqwest::Client::new();
        let ask = async |client: &str| -> Result<u16> {
            let request = http.post(format!("{}/api/info", gateway.http_url()));
            let request = request
                .header("x-api-key", "wrong")
                .header("x-forwarded-for", client);
            Ok(request.body("{}").send().await?.status().as_u16())
        };
        let mut last = 0;
        for _ in 0..100 {
            last = ask("192.0.2.1").await?;
            if last == 429 {
                break;
            }
        }
        ensure!(last == 429, "{trusted}: wrong keys are not slowed");
        let mut refused = 0;
        for number in 0..20 {
            refused += u32::from(ask(&format!("198.51.100.{number}")).await? == 429);
        }
        ensure!((refused > 0) != apart, "{trusted}: {refused} others were refused");
    }
    Ok(())
}
