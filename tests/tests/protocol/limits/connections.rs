//! How many connections there may be, and how many sockets that say nothing.

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::API_KEY;
use natter_tests::raw::RawSocket;
use natter_tests::wait::eventually;
use serde_json::json;

use super::{WITH_USERS, client_of, counted};
use crate::raw_member::PATH;
use crate::scene::{LIMIT, Scene, connected, gateway};

/// The status and the head of the answer to an upgrade; the socket when it became a WebSocket.
async fn open(scene: &Scene) -> Result<(u16, String, Option<RawSocket>)> {
    let mut socket = RawSocket::connect(scene.gateway.public()).await?;
    let host = scene.gateway.public();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write(request.as_bytes()).await?;
    let head = socket.read_head().await?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, head, (status == 101).then_some(socket)))
}

/// Opens `count` more, is refused with `status`, and is let in once somebody has left.
async fn is_bounded(scene: &Scene, count: usize, status: u16, limit: &str) -> Result<()> {
    let watch = scene.watch().await?;
    let mut sockets = Vec::new();
    for _ in 0..count {
        let (status, _, socket) = open(scene).await?;
        sockets.push(socket.with_context(|| format!("refused with {status}"))?);
    }
    let (refused, head, _) = open(scene).await?;
    ensure!(refused == status, "{head}");
    ensure!(
        head.contains("retry-after: 1\r\n") && head.contains("connection: close\r\n"),
        "{head}"
    );
    counted(&watch, limit, 1).await?;
    watch
        .counted("natter_connections_refused_total", &[("reason", "limit")], 1)
        .await?;
    let stream = format!("{}/connection/http_stream", scene.gateway.http_url());
    let answer = reqwest::Client::new()
        .post(stream)
        .body("{\"id\":1,\"connect\":{}}")
        .send()
        .await?;
    ensure!(
        answer.status() == status,
        "a stream is answered with {}",
        answer.status()
    );
    sockets.pop();
    eventually("there is a place again", LIMIT, async || {
        let (status, ..) = open(scene).await?;
        ensure!(status == 101, "{status}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test]
async fn connections_of_a_gateway() -> Result<()> {
    // One is the bystander's.
    let scene = Scene::open("client: {connection_limit: 4}").await?;
    is_bounded(&scene, 3, 503, "connections").await?;
    scene.untroubled().await
}

#[tokio::test]
async fn connections_of_an_address() -> Result<()> {
    let scene = Scene::open("client: {address_connection_limit: 4}").await?;
    is_bounded(&scene, 3, 429, "address_connections").await?;
    scene.untroubled().await
}

#[tokio::test]
async fn connections_in_a_second() -> Result<()> {
    let scene = Scene::open("client: {connection_rate_limit: 1}").await?;
    let watch = scene.watch().await?;
    let mut refused = 0;
    for _ in 0..50 {
        let (status, head, _) = open(&scene).await?;
        ensure!(status == 101 || status == 503, "{head}");
        refused += u32::from(status == 503);
    }
    ensure!(refused >= 1, "all were let in");
    counted(&watch, "connection_rate", refused).await?;
    eventually("there is room again", LIMIT, async || {
        connected(&scene.gateway).await
    })
    .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn connections_of_a_user() -> Result<()> {
    let scene = Scene::open(&format!("client: {{user_connection_limit: 2, {WITH_USERS}}}")).await?;
    let watch = scene.watch().await?;
    let (first, _second) = (client_of(&scene, "ann").await?, client_of(&scene, "ann").await?);
    let request = {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
        let mut request = scene.gateway.ws_url().into_client_request()?;
        request.headers_mut().insert("x-user", "ann".parse()?);
        request
    };
    let mut third = natter_tests::client::Client::open(request).await?;
    third.send(&json!({ "id": 1, "connect": {} })).await?;
    let (code, reason) = third.close_frame().await?;
    ensure!(
        (code, reason.as_str()) == (3504, "connection limit"),
        "{code} {reason}"
    );
    counted(&watch, "user_connections", 1).await?;
    watch.cut("connection_limit", 3504).await?;
    let _of_ben = client_of(&scene, "ben").await?;
    for _ in 0..5 {
        connected(&scene.gateway)
            .await
            .context("anonymous clients have no user")?;
    }
    first.close().await?;
    eventually("there is a place again", LIMIT, async || {
        client_of(&scene, "ann").await
    })
    .await?;
    scene.untroubled().await
}

#[tokio::test]
async fn the_oldest_socket_that_says_nothing_gives_way() -> Result<()> {
    const MOST: usize = 64;
    let gateway = gateway("workers: 1\nhttp: {handshake_limit: 64, header_timeout: 1h}").await?;
    let mut silent = Vec::new();
    for _ in 0..MOST + 6 {
        let mut socket = RawSocket::connect(gateway.public()).await?;
        // Half a request is none.
        socket.write(b"GET / HTTP/1.1\r\n").await?;
        silent.push(socket);
    }
    for (number, socket) in silent.iter_mut().take(6).enumerate() {
        let rest = socket
            .read_to_end()
            .await
            .with_context(|| format!("socket {number}"))?;
        ensure!(rest.is_empty(), "{rest:?}");
    }
    // Whoever means it comes through, at the expense of one that does not.
    connected(&gateway).await?;
    silent[6].read_to_end().await.context("the seventh socket")?;
    let last = silent.last_mut().context("sockets")?;
    last.write(b"Host: a\r\nConnection: close\r\n\r\n").await?;
    let answer = last.read_head().await?;
    ensure!(answer.starts_with("HTTP/1.1 "), "{answer}");
    let metrics = gateway.metrics().await?;
    let given_way = metrics.value("natter_limited_total", &[("limit", "handshakes")]);
    ensure!(given_way == Some(7.0), "{given_way:?}");
    Ok(())
}

/// Asks and reads the head of the answer; what is left of the answer before it may stand in front.
async fn ask(socket: &mut RawSocket, request: &str) -> Result<String> {
    socket.write(request.as_bytes()).await?;
    socket.read_head().await
}

#[tokio::test]
async fn the_oldest_idle_socket_of_a_stranger_gives_way_and_backends_stay() -> Result<()> {
    const MOST: usize = 64;
    const NOTHING: &str = "HEAD /nope HTTP/1.1\r\nHost: a\r\n\r\n";
    let config = format!("workers: 1\nhttp: {{handshake_limit: {MOST}, header_timeout: 1h}}");
    let gateway = gateway(&config).await?;
    let call = format!(
        "POST /api/info HTTP/1.1\r\nHost: a\r\nX-API-Key: {API_KEY}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let mut backends = Vec::new();
    for _ in 0..=MOST {
        let mut backend = RawSocket::connect(gateway.public()).await?;
        let answer = ask(&mut backend, &call).await?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        backends.push(backend);
    }
    let mut strangers = Vec::new();
    for _ in 0..MOST + 6 {
        let mut stranger = RawSocket::connect(gateway.public()).await?;
        let answer = ask(&mut stranger, NOTHING).await?;
        ensure!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        strangers.push(stranger);
    }
    let mut beyond = backends.pop().context("backends")?;
    beyond
        .read_to_end()
        .await
        .context("one backend too many counts as a stranger")?;
    for (number, stranger) in strangers.iter_mut().take(6).enumerate() {
        let rest = stranger
            .read_to_end()
            .await
            .with_context(|| format!("stranger {number}"))?;
        ensure!(rest.is_empty(), "{rest:?}");
    }
    let metrics = gateway.metrics().await?;
    let given_way = metrics.value("natter_limited_total", &[("limit", "idle_sockets")]);
    ensure!(given_way == Some(7.0), "{given_way:?}");
    // They keep nobody out who has not asked for anything yet.
    let given_way = metrics.value("natter_limited_total", &[("limit", "handshakes")]);
    ensure!(given_way == Some(0.0), "{given_way:?}");
    let answer = ask(&mut strangers[6], NOTHING)
        .await
        .context("a young stranger")?;
    ensure!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    for backend in &mut backends {
        let answer = ask(backend, &call).await.context("a backend")?;
        ensure!(answer.contains("HTTP/1.1 200 "), "{answer}");
    }
    connected(&gateway).await?;
    Ok(())
}
