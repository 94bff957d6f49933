//! The servers themselves, before any gateway is involved.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{NatsCluster, NatsServer};
use crate::wait::eventually;

const LIMIT: Duration = Duration::from_secs(5);

/// A client by hand: the greeting is read, a name and a subscription are sent, the answer to a ping is awaited.
async fn subscribe(server: &NatsServer, name: &str, subject: &str) -> Result<TcpStream> {
    let mut socket = BufReader::new(TcpStream::connect(("127.0.0.1", server.port())).await?);
    let connect = format!("CONNECT {{\"verbose\":false,\"name\":\"{name}\"}}\r\nSUB {subject} 1\r\nPING\r\n");
    socket.write_all(connect.as_bytes()).await?;
    let mut line = String::new();
    while line.trim_end() != "PONG" {
        line.clear();
        anyhow::ensure!(
            socket.read_line(&mut line).await? > 0,
            "the server closed the connection"
        );
    }
    Ok(socket.into_inner())
}

#[tokio::test]
async fn restarts_on_the_same_port_after_a_kill_and_a_stop() -> Result<()> {
    let server = NatsServer::start().await?;
    let (url, pid) = (server.url(), server.pid());
    server.kill()?;
    assert!(
        TcpStream::connect(("127.0.0.1", server.port())).await.is_err(),
        "killed"
    );
    server.restart().await?;
    server.stop().await?;
    assert!(
        TcpStream::connect(("127.0.0.1", server.port())).await.is_err(),
        "stopped"
    );
    server.restart().await?;
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    Ok(())
}

#[tokio::test]
async fn lists_the_subscriptions_of_clients() -> Result<()> {
    let server = NatsServer::start().await?;
    assert_eq!(server.subscriptions("").await?, []);
    let client = subscribe(&server, "somebody", "t.eph.room").await?;
    let found = server.subscriptions("t.eph.").await?;
    let found: Vec<_> = found
        .iter()
        .map(|found| (found.subject.as_str(), found.client.as_str()))
        .collect();
    assert_eq!(found, [("t.eph.room", "somebody")]);
    assert_eq!(server.subscriptions("other.").await?, []);
    drop(client);
    eventually("the subscription is gone", LIMIT, async || {
        server
            .subscriptions("t.eph.")
            .await
            .is_ok_and(|found| found.is_empty())
    })
    .await
}

#[tokio::test]
async fn a_broken_configuration_fails_at_once_with_the_servers_words() {
    let error = NatsServer::builder()
        .config("no_such_key: 1")
        .start()
        .await
        .err()
        .unwrap();
    assert!(format!("{error:#}").contains("no_such_key"), "{error:#}");
}

#[tokio::test]
async fn a_cluster_of_three_forms_and_heals() -> Result<()> {
    let cluster = NatsCluster::start(3).await?;
    assert_eq!(cluster.url().split(',').count(), 3);
    cluster.kill(1)?;
    cluster.wait_formed().await?;
    cluster.restart(1).await?;
    for node in cluster.nodes() {
        assert!(node.running()?);
    }
    Ok(())
}

#[tokio::test]
async fn jetstream_runs_in_a_cluster() -> Result<()> {
    let cluster = NatsServer::builder().jetstream().start_cluster(3).await?;
    let jsz = cluster.node(0)?.get("jsz").await?;
    assert!(jsz["meta_cluster"]["leader"].is_string(), "{jsz}");
    Ok(())
}
