//! NATS goes away and comes back: nothing waits for long, and what is said to be up is up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_gateway::bus::{BusError, BusStatus, Recipient};
use natter_tests::nats::NatsServer;
use natter_tests::port::ReservedPort;
use natter_tests::proxy::Proxy;
use tokio::time::{Instant, timeout};

use crate::support::{LIMIT, Node, config};

/// What an answer that does not wait for anything takes at most on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// Everything is refused, and nobody waits for it.
async fn refuses_at_once(node: &Node) -> Result<()> {
    ensure!(!node.bus.is_up() && node.bus.server().is_none());
    ensure!(node.publish("room", "lost") == Err(BusError::Disconnected));
    ensure!(node.send(Recipient::All, "lost") == Err(BusError::Disconnected));
    let joined = timeout(AT_ONCE, node.subscribe("new")).await;
    ensure!(joined.context("a join waited")? == Err(BusError::Disconnected));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_noticed_and_its_return_too() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "killed")?).await?;
    for room in ["room", "left meanwhile"] {
        node.subscribe(room).await?;
    }
    for outage in 1..=3 {
        server.kill()?;
        node.wait(BusStatus::Down).await?;
        refuses_at_once(&node).await?;
        node.unsubscribe("left meanwhile");
        server.restart().await?;
        node.wait(BusStatus::Up).await?;
        // Up means that the room is subscribed again, and that nothing refused is sent late.
        node.publish("left meanwhile", "nobody is there")?;
        node.publish("room", "after")?;
        node.expect("room", "after").await?;
        node.subscribe("new").await?;
        let reconnects = node.counted("natter_bus_reconnects_total", &[])?;
        ensure!(reconnects == outage, "{reconnects} of {outage}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_late_is_found() -> Result<()> {
    let server = NatsServer::start().await?;
    server.kill()?;
    let node = Node::connecting(config(&server.url(), "late")?).await?;
    assert_eq!(*node.bus.status().borrow(), BusStatus::Connecting);
    refuses_at_once(&node).await?;
    server.restart().await?;
    node.wait(BusStatus::Up).await?;
    node.subscribe("room").await?;
    node.publish("room", "here")?;
    node.expect("room", "here").await?;
    assert_eq!(
        node.counted("natter_bus_reconnects_total", &[])?,
        0,
        "the first connection"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_accepts_and_says_nothing_is_not_up() -> Result<()> {
    let port = ReservedPort::take()?;
    let listener = tokio::net::TcpListener::bind(port.address()).await?;
    let node = Node::connecting(config(&format!("nats://{}", port.address()), "mute")?).await?;
    let _open = timeout(LIMIT, listener.accept()).await??;
    assert_eq!(*node.bus.status().borrow(), BusStatus::Connecting);
    refuses_at_once(&node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_noticed_within_three_pings() -> Result<()> {
    let server = NatsServer::start().await?;
    let link = Proxy::to_port(server.port()).await?;
    let mut short = config(&format!("nats://{}", link.address()), "hole")?;
    short.ping_interval = Duration::from_millis(200);
    let node = Node::nats(short).await?;
    node.subscribe("room").await?;
    link.pause();
    let paused = Instant::now();
    node.wait(BusStatus::Down).await?;
    let noticed = paused.elapsed();
    // Two pings may stay without an answer; the third one ends it. The rest is a busy machine.
    ensure!(noticed < Duration::from_millis(3 * 200) + AT_ONCE, "{noticed:?}");
    refuses_at_once(&node).await?;
    link.resume();
    node.wait(BusStatus::Up).await?;
    node.publish("room", "through")?;
    node.expect("room", "through").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_into_a_black_hole_ends_at_its_time_limit() -> Result<()> {
    let server = NatsServer::start().await?;
    let link = Proxy::to_port(server.port()).await?;
    let mut short = config(&format!("nats://{}", link.address()), "hole")?;
    short.join_timeout = Duration::from_secs(2);
    let node = Node::nats(short).await?;
    link.pause();
    let began = Instant::now();
    // The second one waits behind the first, and still not longer.
    let (first, second) = tokio::join!(node.subscribe("a"), async {
        tokio::task::yield_now().await;
        node.subscribe("b").await
    });
    let took = began.elapsed();
    ensure!(
        (first, second) == (Err(BusError::Timeout), Err(BusError::Timeout)),
        "{first:?} {second:?}"
    );
    ensure!(took < Duration::from_secs(2) + AT_ONCE, "{took:?}");
    link.resume();
    node.subscribe("a").await?;
    node.publish("a", "works")?;
    node.expect("a", "works").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_under_way_is_refused_when_the_connection_breaks() -> Result<()> {
    let server = NatsServer::start().await?;
    let link = Proxy::to_port(server.port()).await?;
    let mut patient = config(&format!("nats://{}", link.address()), "cut")?;
    patient.join_timeout = LIMIT;
    let node = Node::nats(patient).await?;
    link.pause();
    let (joined, ()) = tokio::join!(timeout(LIMIT / 2, node.subscribe("room")), async {
        tokio::task::yield_now().await;
        link.cut();
    });
    assert_eq!(
        joined.context("the join waited for its time limit")?,
        Err(BusError::Disconnected)
    );
    node.wait(BusStatus::Down).await?;
    link.resume();
    node.wait(BusStatus::Up).await?;
    node.subscribe("room").await?;
    node.publish("room", "works")?;
    node.expect("room", "works").await
}

/// On one thread the client cannot take anything while this test publishes.
#[tokio::test]
async fn a_full_queue_refuses_and_what_was_taken_arrives() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "full")?).await?;
    node.subscribe("room").await?;
    let mut taken = 0_u32;
    let refused = loop {
        match node.publish("room", &taken.to_string()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        ensure!(taken < 1_000_000, "the queue has no bound");
    };
    assert_eq!(refused, BusError::Overloaded);
    for number in 0..taken {
        node.expect("room", &number.to_string()).await?;
    }
    node.publish("room", "room again")?;
    node.expect("room", "room again").await
}
