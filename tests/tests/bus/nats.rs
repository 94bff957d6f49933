//! What can be seen at the NATS server, or comes from others there.

use anyhow::{Context, Result, ensure};
use async_nats::HeaderMap;
use futures_util::{FutureExt, StreamExt};
use natter_gateway::bus::{BusError, Subjects};
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{LIMIT, Node, config};

async fn subjects(server: &NatsServer, prefix: &str) -> Result<Vec<String>> {
    let found = server.subscriptions(prefix).await?;
    Ok(found.into_iter().map(|found| found.subject).collect())
}

#[tokio::test]
async fn a_room_is_one_subscription_and_none_after_it_was_left() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "count")?).await?;
    for room in ["a", "b.c"] {
        node.subscribe(room).await?;
    }
    assert_eq!(
        subjects(&server, "count.eph.").await?,
        ["count.eph.0.a", "count.eph.0.b%2Ec"]
    );
    node.unsubscribe("a");
    eventually("the subscription of a is gone", LIMIT, async || {
        let left = subjects(&server, "count.eph.").await?;
        ensure!(left == ["count.eph.0.b%2Ec"], "{left:?}");
        Ok(())
    })
    .await?;
    // What nobody is subscribed to does not arrive: the next message is the one of the other room.
    node.publish("a", "into the void")?;
    node.publish("b.c", "heard")?;
    node.expect("b.c", "heard").await
}

/// A password in a URL is percent-encoded; a token stands where a user would.
#[tokio::test]
async fn the_credentials_of_a_url_log_in() -> Result<()> {
    for (authorization, login) in [
        (r#"user: chat, password: "p@ss/word""#, "chat:p%40ss%2Fword"),
        (r#"token: "a token""#, "a%20token"),
    ] {
        let config_of_server = format!("authorization {{ {authorization} }}");
        let server = NatsServer::builder().config(&config_of_server).start().await?;
        let url = server.url().replace("nats://", &format!("nats://{login}@"));
        let node = Node::nats(config(&url, "login")?).await?;
        node.subscribe("room").await?;
        node.publish("room", "hello")?;
        node.expect("room", "hello").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_join_leaves_no_subscription() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "abandoned")?).await?;
    // The future is dropped half way, as a time limit would do.
    assert!(node.subscribe("room").now_or_never().is_none());
    node.subscribe("other").await?;
    eventually("only the other room is left", LIMIT, async || {
        let left = subjects(&server, "abandoned.eph.").await?;
        ensure!(left == ["abandoned.eph.0.other"], "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_prefixes_share_a_server_without_meeting() -> Result<()> {
    let server = NatsServer::start().await?;
    let mut nodes = Vec::new();
    for prefix in ["one", "one-more", "two"] {
        nodes.push((prefix, Node::nats(config(&server.url(), prefix)?).await?));
    }
    for (_, node) in &nodes {
        node.subscribe("room").await?;
    }
    for (prefix, node) in &nodes {
        node.publish("room", prefix)?;
        node.send(natter_gateway::bus::Recipient::All, prefix)?;
    }
    for (prefix, node) in &nodes {
        node.expect("room", prefix).await?;
        node.expect_control(prefix).await?;
        node.publish("room", "end")?;
        node.expect("room", "end").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_servers_own_limit_counts() -> Result<()> {
    let server = NatsServer::builder().config("max_payload: 65536").start().await?;
    let node = Node::nats(config(&server.url(), "small")?).await?;
    node.subscribe("room").await?;
    assert!(node.bus.max_message_size() < 65_536);
    let mut tagged = natter_gateway::publication::Publication::new(vec![b'x'; node.bus.max_message_size()]);
    tagged.tags = Some(vec![b'x'; 9 * 1024].into());
    assert_eq!(
        node.bus.publish("room", &tagged),
        Err(BusError::TooLarge),
        "headers count as well"
    );
    node.publish("room", "still connected")?;
    node.expect("room", "still connected").await?;
    assert_eq!(node.counted("natter_bus_reconnects_total", &[])?, 0);
    Ok(())
}

#[tokio::test]
async fn foreign_messages_are_dropped_and_counted() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "foreign")?).await?;
    node.subscribe("room").await?;
    let stranger = async_nats::connect(server.url()).await?;
    let room = Subjects::new("foreign").ephemeral("room");
    stranger.publish(room.clone(), "no headers".into()).await?;
    let mut newer = HeaderMap::new();
    newer.insert("Natter-Format", "99");
    stranger
        .publish_with_headers(room, newer, "of another format".into())
        .await?;
    stranger.flush().await?;
    eventually("both are counted", LIMIT, async || {
        let dropped = node.counted("natter_bus_errors_total", &[("kind", "undecodable")])?;
        ensure!(dropped == 2, "{dropped}");
        Ok(())
    })
    .await?;
    node.publish("room", "ours")?;
    node.expect("room", "ours").await
}

#[tokio::test]
async fn an_echo_goes_only_where_echoes_are_expected() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "echo")?).await?;
    let stranger = async_nats::connect(server.url()).await?;
    let subjects = Subjects::new("echo");
    let theirs = Uuid::new_v4();
    let mut anything = stranger.subscribe("elsewhere").await?;
    let mut echoed = stranger.subscribe(subjects.echoed(theirs)).await?;
    for question in ["1 elsewhere", "not a question", ""] {
        stranger.publish(subjects.echo(), question.into()).await?;
    }
    let proper = format!("7 {}", subjects.echoed(theirs));
    stranger.publish(subjects.echo(), proper.into()).await?;
    let echo = timeout(LIMIT, echoed.next()).await?.context("closed")?;
    let server_id = stranger.server_info().server_id;
    assert_eq!(echo.payload, format!("7 {server_id}"));
    // The answers go out in order: had the first question been answered, it would be here.
    stranger.publish("elsewhere", "marker".into()).await?;
    let first = timeout(LIMIT, anything.next()).await?.context("closed")?;
    assert_eq!(first.payload, "marker");
    assert_eq!(node.counted("natter_bus_errors_total", &[("kind", "echo")])?, 3);
    Ok(())
}
