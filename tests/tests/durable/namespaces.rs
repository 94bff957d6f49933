//! Many durable namespaces: their streams are there soon after the start, and each has rooms of its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{PREFIX, newcomer, next, publish};

const NAMESPACES: usize = 50;
/// The stream that revocations are kept in.
const BUCKET: u64 = 1;

/// Until every stream is there; on a cluster each of 200 elects a leader, on a busy machine.
const READY: Duration = Duration::from_mins(2);

async fn start(urls: &str, stream: &str) -> Result<Gateway> {
    let namespace = |number| {
        format!(
            "    - {{ name: n{number}, subscribe: anyone, publish: anyone, history: {{ read: anyone, stream: {stream} }} }}\n"
        )
    };
    let namespaces: String = (0..NAMESPACES).map(namespace).collect();
    let servers: Vec<_> = urls.split(',').map(|url| format!("'{url}'")).collect();
    let servers = servers.join(", ");
    let config = format!(
        "api: {{ keys: [{API_KEY}] }}
bus: {{ prefix: {PREFIX}, nats: {{ servers: [{servers}] }} }}
rooms:
  namespaces:
{namespaces}"
    );
    Gateway::builder().config(&config).start().await
}

/// Waits until all streams are ready; how long that took.
async fn ready(gateway: &Gateway) -> Result<Duration> {
    let began = Instant::now();
    eventually("the streams of all namespaces are ready", READY, async || {
        let metrics = gateway.metrics().await?;
        let ready = metrics.sum("natter_streams_ready");
        ensure!(ready > 49.5, "{ready} of {NAMESPACES} are ready");
        Ok(())
    })
    .await?;
    Ok(began.elapsed())
}

/// Everybody hears what is said in the own namespace, and nothing else.
async fn each_has_its_own_rooms(gateway: &Gateway) -> Result<Duration> {
    let began = Instant::now();
    let members = (0..NAMESPACES).map(async |number| {
        let room = format!("n{number}:room");
        let (mut member, _) = newcomer(gateway, &room).await?;
        let stored = publish(gateway, &room, number).await?;
        ensure!(next(&mut member).await? == (stored.offset, json!(number)));
        Ok(member)
    });
    let members = try_join_all(members).await?;
    assert_eq!(
        members
            .iter()
            .map(|member| member.waiting().count())
            .sum::<usize>(),
        0
    );
    Ok(began.elapsed())
}

async fn streams(nats: &NatsServer) -> Result<u64> {
    let found = nats.get("jsz").await?;
    found["streams"].as_u64().with_context(|| found.to_string())
}

async fn memory(nats: &NatsServer) -> Result<u64> {
    let found = nats.get("varz").await?;
    let bytes = found["mem"].as_u64().with_context(|| found.to_string())?;
    Ok(bytes >> 20)
}

#[tokio::test]
async fn fifty_on_a_single_server() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let before = memory(&nats).await?;
    let gateway = start(&nats.url(), "{}").await?;
    let made = ready(&gateway).await?;
    assert_eq!(streams(&nats).await?, 50 + BUCKET, "one partition each");
    let used = each_has_its_own_rooms(&gateway).await?;
    let after = memory(&nats).await?;
    gateway.restart_same_port().await?;
    let found = ready(&gateway).await?;
    eprintln!(
        "one server, 50 streams: made in {made:?}, used in {used:?}, found again in {found:?}, {before} to {after} MiB"
    );
    Ok(())
}

#[tokio::test]
async fn fifty_on_a_cluster() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start_cluster(3).await?;
    let before = memory(nats.node(0)?).await?;
    let gateway = start(&nats.url(), "{ replicas: 3 }").await?;
    let made = ready(&gateway).await?;
    for node in nats.nodes() {
        assert_eq!(
            streams(node).await?,
            200 + BUCKET,
            "four partitions each, on every node"
        );
    }
    let used = each_has_its_own_rooms(&gateway).await?;
    let mut after = Vec::new();
    for node in nats.nodes() {
        after.push(memory(node).await?);
    }
    gateway.restart_same_port().await?;
    let found = ready(&gateway).await?;
    eprintln!(
        "three servers, 200 streams: made in {made:?}, used in {used:?}, found again in {found:?}, {before} to {after:?} MiB"
    );
    Ok(())
}
