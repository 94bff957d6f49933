//! The limit of open files: raised, shown, respected, survived.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::{API_KEY, Gateway, GatewayBuilder};
use natter_tests::raw::RawSocket;
use natter_tests::wait::eventually;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::support::{LIMIT, member, metric, publish};

const LIMIT_METRIC: &str = "natter_file_descriptors_limit";
const USED_METRIC: &str = "natter_file_descriptors_used";

fn builder() -> GatewayBuilder {
    Gateway::builder().config(&format!("workers: 2\napi: {{ keys: [{API_KEY}] }}"))
}

/// Opens `WebSocket`s until one is refused; gives those that were not, and the head of the refusal.
async fn fill(gateway: &Gateway) -> Result<(Vec<RawSocket>, String)> {
    let mut open = Vec::new();
    loop {
        let mut socket = RawSocket::connect(gateway.public()).await?;
        let request = "GET /connection/websocket HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        socket.write(request.as_bytes()).await?;
        let head = socket.read_head().await?;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Ok((open, head));
        }
        open.push(socket);
        ensure!(open.len() < 1_000, "nothing is refused");
    }
}

#[tokio::test]
async fn at_95_percent_new_sockets_are_refused_and_open_ones_go_on() -> Result<()> {
    let gateway = builder().file_limits(64, 200).start().await?;
    assert_eq!(
        metric(&gateway, LIMIT_METRIC, &[]).await?,
        200.0,
        "the soft limit was raised"
    );
    let mut client = member(&gateway, "lobby").await?;

    let (open, refusal) = fill(&gateway).await?;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    assert!(
        refusal.to_ascii_lowercase().contains("\r\nretry-after: "),
        "{refusal}"
    );
    assert!(open.len() > 100 && open.len() < 190, "{}", open.len());
    let used = metric(&gateway, USED_METRIC, &[]).await?;
    assert!((185.0..=200.0).contains(&used), "{used}");
    let refused = [("reason", "file_limit")];
    assert!(metric(&gateway, "natter_connections_refused_total", &refused).await? >= 1.0);
    client
        .request(json!({ "publish": { "channel": "lobby", "data": "full" } }))
        .await?;
    assert_eq!(client.push().await?["pub"]["data"], "full");

    drop(open);
    eventually("there is room again", LIMIT, async || {
        RawSocket::upgraded(gateway.public(), "/connection/websocket").await
    })
    .await?;
    Ok(())
}

/// So many sockets on the public port that say nothing, of which `refused` at least are closed unheard.
async fn silent(gateway: &Gateway, count: usize, refused: f64) -> Result<Vec<RawSocket>> {
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(RawSocket::connect(gateway.public()).await?);
    }
    let labels = [("reason", "file_limit")];
    eventually("sockets are closed unheard", LIMIT, async || {
        let counted = metric(gateway, "natter_connections_refused_total", &labels).await?;
        ensure!(counted >= refused, "{counted}");
        Ok(())
    })
    .await?;
    Ok(silent)
}

#[tokio::test]
async fn silent_sockets_do_not_lock_out_the_ops_port() -> Result<()> {
    let gateway = builder().file_limits(200, 200).start().await?;
    let mut client = member(&gateway, "lobby").await?;
    has_counted_itself(&gateway).await?;
    let _silent = silent(&gateway, 300, 50.0).await?;
    let (status, _) = gateway.get(&format!("{}/livez", gateway.ops_url())).await?;
    assert_eq!(status, 200);
    client
        .request(json!({ "publish": { "channel": "lobby", "data": "still here" } }))
        .await?;
    assert_eq!(client.push().await?["pub"]["data"], "still here");
    assert_eq!(metric(&gateway, "natter_accept_errors_total", &[]).await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn without_descriptors_it_waits_and_does_not_spin() -> Result<()> {
    /// How long the processor time is measured.
    const WATCHED: Duration = Duration::from_millis(1_500);
    let gateway = builder().start().await?;
    let mut client = member(&gateway, "lobby").await?;
    // From outside: its own count would keep the gateway from ever getting there.
    let old = limit_files(&gateway, open_files(&gateway)?.into())?;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(RawSocket::connect(gateway.public()).await?);
    }
    gateway
        .wait_log(|line| line.message() == "cannot accept a connection", LIMIT)
        .await?;
    let (before, until) = (gateway.cpu_time()?, Instant::now() + WATCHED);
    while Instant::now() < until {
        client
            .request(json!({ "publish": { "channel": "lobby", "data": "busy" } }))
            .await?;
        assert_eq!(client.push().await?["pub"]["data"], "busy", "open clients go on");
        sleep_until(Instant::now() + Duration::from_millis(100)).await;
    }
    let used = gateway.cpu_time()?.saturating_sub(before);
    assert!(used < WATCHED / 4, "{used:?} of {WATCHED:?}");

    limit_files(&gateway, old)?;
    publish(&gateway, "lobby", &json!("again")).await?;
    let errors = metric(&gateway, "natter_accept_errors_total", &[("kind", "descriptors")]).await?;
    // Each worker tries ten times a second.
    assert!((1.0..200.0).contains(&errors), "{errors}");
    Ok(())
}

/// Sends half a request on the ops port, so many times. Sockets that are closed meanwhile are what is wanted.
async fn half_requests(gateway: &Gateway, count: usize) -> Result<Vec<RawSocket>> {
    let mut half = Vec::new();
    for _ in 0..count {
        let mut socket = RawSocket::connect(gateway.ops()).await?;
        let _ = socket.write(b"GET /livez HTTP/1.1\r\n").await;
        half.push(socket);
    }
    Ok(half)
}

/// A probe on a connection of its own, as the kubelet makes it.
async fn is_alive(gateway: &Gateway) -> Result<()> {
    let mut probe = RawSocket::connect(gateway.ops()).await?;
    probe.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let head = probe.read_head().await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(())
}

#[tokio::test]
async fn half_requests_on_the_ops_port_take_no_port_away() -> Result<()> {
    let config = "http: { header_timeout: 1h }";
    let gateway = Gateway::builder()
        .config(config)
        .file_limits(400, 400)
        .start()
        .await?;
    let half = half_requests(&gateway, 450).await?;
    is_alive(&gateway).await?;
    RawSocket::upgraded(gateway.public(), "/connection/websocket").await?;
    let given_way = [("limit", "ops_connections")];
    let given_way = metric(&gateway, "natter_limited_total", &given_way).await?;
    assert!(given_way >= 194.0, "450 of at most 256: {given_way}");
    drop(half);
    Ok(())
}

#[tokio::test]
async fn the_ops_port_answers_when_both_ports_are_flooded() -> Result<()> {
    let config = "http: { header_timeout: 1h }";
    let gateway = Gateway::builder()
        .config(config)
        .file_limits(400, 400)
        .start()
        .await?;
    has_counted_itself(&gateway).await?;
    let silent = silent(&gateway, 500, 100.0).await?;
    let half = half_requests(&gateway, 60).await?;
    is_alive(&gateway).await?;
    drop((silent, half));
    Ok(())
}

/// What is no client socket is measured every five seconds only.
async fn has_counted_itself(gateway: &Gateway) -> Result<()> {
    eventually("the gateway has counted itself", LIMIT, async || {
        let (open, counted) = (open_files(gateway)?, metric(gateway, USED_METRIC, &[]).await?);
        ensure!(f64::from(open) <= counted + 1.0, "{counted} of {open}");
        Ok(())
    })
    .await
}

fn open_files(gateway: &Gateway) -> Result<u32> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid()))?.count();
    Ok(u32::try_from(open)?)
}

/// Changes the soft limit of the running gateway; gives the old one.
fn limit_files(gateway: &Gateway, soft: u64) -> Result<u64> {
    let pid = Pid::from_raw(i32::try_from(gateway.pid())?).context("no process")?;
    // The child has the hard limit of the test.
    let limit = Rlimit {
        current: Some(soft),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let old = prlimit(Some(pid), Resource::Nofile, limit)?;
    old.current.context("there was no limit")
}
