//! What arrives on the public port and is no proper WebSocket handshake.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::raw::RawSocket;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::scene::Scene;

/// A valid handshake; tests replace parts of it.
fn handshake(scene: &Scene) -> String {
    let host = scene.gateway.public();
    format!(
        "GET /connection/websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Adds a header line to a request.
fn with(request: &str, line: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{line}\r\n"), 1)
}

/// Sends a request and gives the head of the answer; bytes that the gateway does not want any more may stay unsent.
async fn answer(scene: &Scene, request: &[u8]) -> Result<String> {
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    let _ = socket.write(request).await;
    socket.read_head().await
}

#[tokio::test]
async fn garbage_bytes_are_answered_with_400_and_counted() -> Result<()> {
    let scene = Scene::open("").await?;
    for garbage in [
        &b"garbage bytes\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello",
        b"\x00\xff\xfe\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let watch = scene.watch().await?;
        let mut socket = RawSocket::connect(scene.gateway.public()).await?;
        socket.write(garbage).await?;
        let answered = socket.read_to_end().await?;
        let answered = String::from_utf8_lossy(&answered);
        ensure!(
            answered.is_empty() || answered.starts_with("HTTP/1.1 400 "),
            "{garbage:?}: {answered}"
        );
        watch
            .counted("natter_handshake_failures_total", &[("kind", "malformed")], 1)
            .await?;
        watch.counted("natter_handshake_failures_total", &[], 1).await?;
        watch
            .logged("INFO", "handshake failed", &[("kind", json!("malformed"))])
            .await?;
        watch.counted("natter_connections_total", &[], 0).await?;
    }
    scene.untroubled().await
}

#[tokio::test]
async fn half_a_handshake_that_never_ends_is_cut() -> Result<()> {
    let scene = Scene::open("http: {header_timeout: 300ms}").await?;
    let watch = scene.watch().await?;
    let began = Instant::now();
    let (mut half, mut silent) = (
        RawSocket::connect(scene.gateway.public()).await?,
        RawSocket::connect(scene.gateway.public()).await?,
    );
    half.write(b"GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: webs")
        .await?;
    half.read_to_end().await?;
    silent.read_to_end().await?;
    assert!(began.elapsed() >= Duration::from_millis(300));
    watch
        .counted("natter_handshake_failures_total", &[("kind", "timeout")], 2)
        .await?;
    watch.counted("natter_handshake_failures_total", &[], 2).await?;
    watch
        .logged("INFO", "handshake failed", &[("kind", json!("timeout"))])
        .await?;
    scene.untroubled().await
}

/// Bytes that keep trickling in do not buy more time.
#[tokio::test]
async fn a_handshake_that_trickles_in_is_cut_as_well() -> Result<()> {
    let scene = Scene::open("http: {header_timeout: 300ms}").await?;
    let watch = scene.watch().await?;
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    socket.write(b"GET / HTTP/1.1\r\n").await?;
    let mut trickle = tokio::time::interval(Duration::from_millis(20));
    let deadline = Instant::now() + Duration::from_secs(5);
    while socket.write(b"a: b\r\n").await.is_ok() {
        trickle.tick().await;
        ensure!(Instant::now() < deadline, "a request may take forever");
    }
    watch
        .counted("natter_handshake_failures_total", &[("kind", "timeout")], 1)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn a_head_of_one_mebibyte_is_refused_with_431() -> Result<()> {
    let scene = Scene::open("").await?;
    let large = "x".repeat(1 << 20);
    for line in [
        format!("X-Large: {large}"),
        format!("{large}: x"),
        "a: b\r\n".repeat(100_000),
    ] {
        let watch = scene.watch().await?;
        let head = answer(&scene, with(&handshake(&scene), line.trim_end()).as_bytes()).await?;
        ensure!(head.starts_with("HTTP/1.1 431 "), "{head}");
        watch
            .counted("natter_handshake_failures_total", &[("kind", "too_large")], 1)
            .await?;
        watch
            .logged("INFO", "handshake failed", &[("kind", json!("too_large"))])
            .await?;
    }
    let watch = scene.watch().await?;
    let head = answer(
        &scene,
        format!("GET /{large} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
    )
    .await?;
    ensure!(
        head.starts_with("HTTP/1.1 431 ") || head.starts_with("HTTP/1.1 414 "),
        "{head}"
    );
    watch
        .counted("natter_handshake_failures_total", &[("kind", "too_large")], 1)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn a_handshake_against_the_rfc_is_told_what_is_wrong() -> Result<()> {
    let scene = Scene::open("").await?;
    let good = handshake(&scene);
    let without = |name: &str| -> String {
        let lines = good
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(name));
        lines.collect()
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (request, status, kind) in [
        (
            good.replace("GET ", "POST ")
                .replacen("\r\n", "\r\nContent-Length: 0\r\n", 1),
            405,
            "method",
        ),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 505, "http_version"),
        (without("Host"), 400, "host"),
        (with(&good, "Content-Length: 5"), 400, "body"),
        (with(&good, "Transfer-Encoding: chunked"), 400, "body"),
        (without("Upgrade"), 400, "upgrade"),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), 400, "upgrade"),
        (without("Connection"), 400, "connection"),
        (without("Sec-WebSocket-Version"), 426, "websocket_version"),
        (
            good.replace("Version: 13", "Version: 8"),
            426,
            "websocket_version",
        ),
        (without("Sec-WebSocket-Key"), 400, "key"),
        (
            good.replace(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"),
            400,
            "key",
        ),
        (with(&good, key), 400, "key"),
        (with(&good, "Sec-WebSocket-Protocol: a b"), 400, "protocol"),
    ] {
        let watch = scene.watch().await?;
        let head = answer(&scene, request.as_bytes()).await?;
        ensure!(
            head.split(' ').nth(1) == Some(&status.to_string()),
            "{kind}: {head}"
        );
        if status == 426 {
            ensure!(
                head.to_ascii_lowercase()
                    .contains("sec-websocket-version: 13\r\n"),
                "{head}"
            );
        }
        watch
            .counted("natter_handshake_failures_total", &[("kind", kind)], 1)
            .await?;
        watch.counted("natter_handshake_failures_total", &[], 1).await?;
    }
    let first = scene
        .gateway
        .wait_log(
            |line| line.message() == "handshake failed",
            Duration::from_secs(5),
        )
        .await?;
    assert_eq!(
        (first.level(), first.field("kind")),
        ("INFO", Some(&json!("method")))
    );
    scene.untroubled().await
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_the_own_one_passes() -> Result<()> {
    let scene = Scene::open("http: {allowed_origins: ['https://*.chat.example']}").await?;
    let own = format!("http://{}", scene.gateway.public());
    for (origin, status) in [
        (own.as_str(), 101),
        ("https://app.chat.example", 101),
        ("https://evil.example", 403),
        ("https://chat.example.evil", 403),
        ("http://app.chat.example", 403),
        ("null", 403),
    ] {
        let watch = scene.watch().await?;
        let request = with(&handshake(&scene), &format!("Origin: {origin}"));
        let head = answer(&scene, request.as_bytes()).await?;
        ensure!(
            head.split(' ').nth(1) == Some(&status.to_string()),
            "{origin}: {head}"
        );
        let refused = i32::from(status == 403);
        watch
            .counted(
                "natter_connections_refused_total",
                &[("reason", "origin")],
                refused,
            )
            .await?;
        if status == 403 {
            watch
                .logged("INFO", "refused a connection", &[("reason", json!("origin"))])
                .await?;
        }
    }
    scene.untroubled().await
}

#[tokio::test]
async fn the_json_subprotocol_is_chosen_and_others_are_passed_over() -> Result<()> {
    let scene = Scene::open("").await?;
    let offer = |protocols: &str| {
        with(
            &handshake(&scene),
            &format!("Sec-WebSocket-Protocol: {protocols}"),
        )
    };
    let head = answer(&scene, offer("chat, centrifuge-json").as_bytes())
        .await?
        .to_ascii_lowercase();
    ensure!(
        head.contains("sec-websocket-protocol: centrifuge-json\r\n"),
        "{head}"
    );
    let head = answer(&scene, offer("chat").as_bytes())
        .await?
        .to_ascii_lowercase();
    ensure!(
        head.starts_with("http/1.1 101 ") && !head.contains("sec-websocket-protocol"),
        "{head}"
    );
    ensure!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{head}"
    );
    scene.untroubled().await
}

#[tokio::test]
async fn two_users_in_one_request_are_none() -> Result<()> {
    let scene = Scene::open("client: {user_id_header: x-user, anonymous: allow}").await?;
    let watch = scene.watch().await?;
    let request = with(&with(&handshake(&scene), "X-User: alice"), "X-User: mallory");
    let head = answer(&scene, request.as_bytes()).await?;
    ensure!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let refused = [("reason", "unauthorized")];
    watch
        .counted("natter_connections_refused_total", &refused, 1)
        .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_for_ever() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    let requests = "GET /natter.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    // The kernel takes what fits, then nothing, and in the end it says that nobody is there any more.
    let reset = async {
        loop {
            match socket.write(requests.as_bytes()).await {
                Err(error) if format!("{error:#}").contains("cannot write") => return,
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(40), reset)
        .await
        .context("the gateway keeps the socket")?;
    watch
        .counted("natter_handshake_failures_total", &[("kind", "unread")], 1)
        .await?;
    scene.untroubled().await
}

/// RFC 9112 section 3.2.
#[tokio::test]
async fn a_request_names_its_host_once() -> Result<()> {
    let scene = Scene::open("").await?;
    for hosts in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
    ] {
        for path in ["/", "/nope", "/api/info", "/connection/sse"] {
            let watch = scene.watch().await?;
            let mut socket = RawSocket::connect(scene.gateway.public()).await?;
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            socket.write(request.as_bytes()).await?;
            let answer = String::from_utf8(socket.read_to_end().await?)?;
            ensure!(answer.starts_with("HTTP/1.1 400 "), "{path} {hosts:?}: {answer}");
            watch
                .counted("natter_handshake_failures_total", &[("kind", "host")], 1)
                .await?;
        }
    }
    let head = answer(&scene, b"GET /nope HTTP/1.0\r\n\r\n").await?;
    ensure!(head.starts_with("HTTP/1.0 404 "), "1.0 has no Host: {head}");
    scene.untroubled().await
}

#[tokio::test]
async fn two_origins_are_none() -> Result<()> {
    let scene = Scene::open("").await?;
    let own = format!("Origin: http://{}", scene.gateway.public());
    let evil = "Origin: https://evil.example";
    for (first, second) in [(&*own, evil), (evil, &*own), (&*own, &*own)] {
        let watch = scene.watch().await?;
        let request = with(&with(&handshake(&scene), second), first);
        let head = answer(&scene, request.as_bytes()).await?;
        ensure!(head.starts_with("HTTP/1.1 403 "), "{first} {second}: {head}");
        let refused = [("reason", "origin")];
        watch
            .counted("natter_connections_refused_total", &refused, 1)
            .await?;
    }
    scene.untroubled().await
}
