//! How a gateway goes away: told, at a pace, and within its time.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::raw::{Frame, RawSocket};
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{LIMIT, member, metric, publish};

const CLIENTS: usize = 100;
const WINDOW: Duration = Duration::from_secs(2);

fn config(drain: &str) -> String {
    format!("api: {{ keys: [{API_KEY}] }}\ndrain: {{ {drain} }}")
}

/// The head of the answer to an upgrade.
async fn upgrade(gateway: &Gateway) -> Result<String> {
    let mut socket = RawSocket::connect(gateway.public()).await?;
    let request = "GET /connection/websocket HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    socket.write(request.as_bytes()).await?;
    socket.read_head().await
}

async fn draining(gateway: &Gateway) -> Result<()> {
    eventually("the gateway is not ready", LIMIT, async || {
        let (status, body) = gateway.ready().await?;
        ensure!(status == 503, "{status} {body}");
        let report: Value = serde_json::from_str(&body)?;
        ensure!(report["draining"] == true, "{body}");
        ensure!(report["reasons"] == json!(["draining"]), "{body}");
        Ok(())
    })
    .await
}

/// Waits for every client to be closed with 3001; gives the moments, in order.
async fn closes(clients: Vec<Client>) -> Result<Vec<Instant>> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let (code, _) = client.close_frame().await?;
            ensure!(code == 3001, "closed with {code}");
            Ok(Instant::now())
        });
    }
    let mut moments = Vec::new();
    for closed in tasks.join_all().await {
        moments.push(closed?);
    }
    moments.sort();
    Ok(moments)
}

#[tokio::test]
async fn sigterm_tells_refuses_and_closes_at_a_pace() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&config(
            "accept: 1s, duration: 2s, deadline: 15s, retry_after: 7s",
        ))
        .start()
        .await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS - 1 {
        clients.push(member(&gateway, "lobby").await?);
    }
    gateway.terminate()?;
    draining(&gateway).await?;
    // Load balancers have not noticed yet.
    let mut late = member(&gateway, "lobby").await?;
    publish(&gateway, "lobby", &json!("last orders")).await?;
    assert_eq!(late.push().await?["pub"]["data"], "last orders");
    clients.push(late);
    let closed = tokio::spawn(closes(clients));

    let refused = eventually("upgrades are refused", LIMIT, async || {
        let head = upgrade(&gateway).await?;
        ensure!(head.starts_with("HTTP/1.1 503 "), "{head}");
        Ok(head.to_ascii_lowercase())
    })
    .await?;
    assert!(refused.contains("\r\nretry-after: 7\r\n"), "{refused}");
    assert!(
        metric(
            &gateway,
            "natter_connections_refused_total",
            &[("reason", "draining")]
        )
        .await?
            >= 1.0
    );
    let (status, _) = gateway.get(&format!("{}/livez", gateway.ops_url())).await?;
    assert_eq!(status, 200, "a draining gateway is alive");

    let moments = closed.await??;
    let first = moments.first().context("nobody was closed")?;
    let mut quarters = [0; 4];
    for moment in &moments {
        let quarter = (*moment - *first).as_millis() * 4 / WINDOW.as_millis();
        quarters[usize::try_from(quarter)?.min(3)] += 1;
    }
    assert!(
        quarters.iter().all(|&count| count >= CLIENTS / 10),
        "{quarters:?}"
    );
    let status = gateway.wait_exit(LIMIT).await?;
    assert_eq!(status.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn backends_are_sent_elsewhere_before_the_exit_can_cut_a_call() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&config("accept: 20s, duration: 1s, deadline: 1m"))
        .start()
        .await?;
    let mut backend = RawSocket::connect(gateway.public()).await?;
    let request = b"GET /there-is-no-such-page HTTP/1.1\r\nHost: gateway\r\n\r\n";
    backend.write(request).await?;
    let kept = backend.read_head().await?.to_ascii_lowercase();
    assert!(!kept.contains("connection: close"), "{kept}");
    gateway.terminate()?;
    draining(&gateway).await?;
    backend.write(request).await?;
    let last = backend.read_head().await?.to_ascii_lowercase();
    assert!(last.contains("\r\nconnection: close\r\n"), "{last}");
    Ok(())
}

#[tokio::test]
async fn clients_that_do_not_answer_do_not_hold_the_exit() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&format!(
            "{}\nclient: {{ close_timeout: 1m, queue_max_size: 64MiB }}",
            config("accept: 0s, duration: 500ms, deadline: 2s")
        ))
        .start()
        .await?;
    let mut polite = member(&gateway, "quiet").await?;
    // Reads, but never answers the close.
    let mut silent = raw_member(&gateway, "quiet").await?;
    // Never reads: what was sent to it fills the kernel's buffers.
    let deaf = raw_member(&gateway, "loud").await?;
    let large = json!("x".repeat(60_000));
    for _ in 0..200 {
        publish(&gateway, "loud", &large).await?;
    }
    let begun = Instant::now();
    gateway.terminate()?;
    assert_eq!(polite.close_frame().await?.0, 3001);
    assert_eq!(silent.read_close().await?.0, 3001);
    let status = gateway.wait_exit(LIMIT).await?;
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(
        took >= Duration::from_secs(2),
        "the deadline gives them a chance: {took:?}"
    );
    assert!(took < Duration::from_secs(6), "{took:?}");
    gateway
        .wait_log(|line| line.message().starts_with("drain deadline passed"), LIMIT)
        .await?;
    drop(deaf);
    Ok(())
}

/// A member that does nothing by itself.
async fn raw_member(gateway: &Gateway, room: &str) -> Result<RawSocket> {
    let mut socket = RawSocket::upgraded(gateway.public(), "/connection/websocket").await?;
    let commands = format!(
        "{}\n{}",
        r#"{"id":1,"connect":{}}"#,
        json!({ "id": 2, "subscribe": { "channel": room } })
    );
    socket.write_frame(&Frame::text(commands)).await?;
    let mut answers = String::new();
    while !answers.contains("\"id\":2") {
        match socket.read_frame().await? {
            (1, payload) => answers.push_str(&String::from_utf8(payload)?),
            (opcode, _) => bail!("frame {opcode} after {answers}"),
        }
    }
    ensure!(!answers.contains("error"), "{answers}");
    Ok(socket)
}

#[tokio::test]
async fn without_clients_only_the_accepting_time_is_waited_for() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&config("accept: 500ms, duration: 30s, deadline: 1m"))
        .start()
        .await?;
    let begun = Instant::now();
    gateway.terminate()?;
    assert_eq!(gateway.wait_exit(LIMIT).await?.code(), Some(0));
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(500) && took < Duration::from_secs(8),
        "{took:?}"
    );
    Ok(())
}

#[tokio::test]
async fn sigint_leaves_promptly_and_politely() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&config("accept: 1m, duration: 1m, deadline: 3m"))
        .start()
        .await?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(member(&gateway, "lobby").await?);
    }
    gateway.interrupt()?;
    assert_eq!(closes(clients).await?.len(), 5);
    assert_eq!(gateway.wait_exit(LIMIT).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_at_once() -> Result<()> {
    let gateway = Gateway::builder()
        .config(&config("accept: 1m, duration: 1m, deadline: 3m"))
        .start()
        .await?;
    let _member = member(&gateway, "lobby").await?;
    gateway.terminate()?;
    draining(&gateway).await?;
    gateway.terminate()?;
    let status = gateway.wait_exit(LIMIT).await?;
    assert_eq!(status.code(), Some(1), "clients were not drained");
    Ok(())
}
