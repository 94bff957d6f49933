//! The join barrier between NATS servers: what it waits for, and what it does not wait for.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_gateway::bus::BusStatus;
use natter_tests::nats::{DistantPair, NatsCluster};
use natter_tests::proxy::Proxy;
use tokio::time::Instant;

use crate::support::{Node, config};

/// One way between two sites; without a barrier every join there would lose what is published at once.
const DISTANCE: Duration = Duration::from_millis(20);

/// Joins fresh rooms at `joiner` and publishes at `publisher` as soon as each join is answered; everything must arrive.
pub(crate) async fn race(joiner: &Node, publisher: &Node, name: &str, joins: usize) -> Result<()> {
    for number in 0..joins {
        let room = format!("{name}-{number}");
        joiner.subscribe(&room).await?;
        publisher.publish(&room, &room)?;
    }
    // There is an order in each room only.
    let mut missing: HashSet<_> = (0..joins).map(|number| format!("{name}-{number}")).collect();
    while !missing.is_empty() {
        let next = joiner.next_text().await;
        let (room, text) = next.with_context(|| format!("{} of {joins} are lost", missing.len()))?;
        ensure!(
            room == text && missing.remove(&room),
            "{text} in {room} came again"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_after_a_join_is_lost_between_three_nodes() -> Result<()> {
    let cluster = NatsCluster::start(3).await?;
    let mut nodes = Vec::new();
    for server in cluster.nodes() {
        nodes.push(Node::nats(config(&server.url(), "three")?).await?);
    }
    let pairs = [(0, 1), (1, 2), (2, 0)];
    try_join_all(pairs.map(async |(joiner, publisher)| {
        race(
            &nodes[joiner],
            &nodes[publisher],
            &format!("from-{publisher}"),
            300,
        )
        .await
    }))
    .await
    .map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distant_server_is_waited_for() -> Result<()> {
    let pair = DistantPair::start().await?;
    pair.link.delay(DISTANCE);
    let near = Node::nats(config(&pair.near.url(), "distant")?).await?;
    let far = Node::nats(config(&pair.far.url(), "distant")?).await?;
    let began = Instant::now();
    near.subscribe("room").await?;
    ensure!(
        began.elapsed() >= 2 * DISTANCE,
        "the far server cannot have been asked"
    );
    race(&near, &far, "near", 10).await?;
    race(&far, &near, "far", 10).await
}

/// A newcomer has heard of nobody but by asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomers_first_join_waits_for_the_others() -> Result<()> {
    let pair = DistantPair::start().await?;
    pair.link.delay(DISTANCE);
    let far = Node::nats(config(&pair.far.url(), "newcomer")?).await?;
    for number in 0..3 {
        let near = Node::nats(config(&pair.near.url(), "newcomer")?).await?;
        race(&near, &far, &format!("newcomer-{number}"), 3).await?;
    }
    Ok(())
}

/// The other side of the same: an old gateway knows of a newcomer before the newcomer can publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_waits_for_a_newcomer() -> Result<()> {
    let pair = DistantPair::start().await?;
    pair.link.delay(DISTANCE);
    let near = Node::nats(config(&pair.near.url(), "newcomer")?).await?;
    let far = Node::nats(config(&pair.far.url(), "newcomer")?).await?;
    race(&near, &far, "near", 3).await
}

/// Up says that rooms are subscribed again everywhere, not only at the new server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_again_means_subscribed_again_at_every_server() -> Result<()> {
    let pair = DistantPair::start().await?;
    pair.link.delay(DISTANCE);
    let client_link = Proxy::to_port(pair.near.port()).await?;
    let near = Node::nats(config(&format!("nats://{}", client_link.address()), "again")?).await?;
    let far = Node::nats(config(&pair.far.url(), "again")?).await?;
    near.subscribe("room").await?;
    for _ in 0..3 {
        client_link.cut();
        near.wait(BusStatus::Down).await?;
        client_link.resume();
        near.wait(BusStatus::Up).await?;
        far.publish("room", "after")?;
        near.expect("room", "after").await?;
    }
    Ok(())
}

/// A gateway that moved must not echo for the server that it left, and its echo must be asked for where it is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_may_move_to_another_server() -> Result<()> {
    let cluster = NatsCluster::start(3).await?;
    let stays = Node::nats(config(&cluster.node(0)?.url(), "moved")?).await?;
    let publishes = Node::nats(config(&cluster.node(1)?.url(), "moved")?).await?;
    let link = Proxy::to_port(cluster.node(1)?.port()).await?;
    let moves = Node::nats(config(&format!("nats://{}", link.address()), "moved")?).await?;
    moves.subscribe("room").await?;
    // Its server has told it of the others, and the way to this one is closed.
    link.cut();
    moves.wait(BusStatus::Down).await?;
    let raced = race(&stays, &publishes, "meanwhile", 100);
    let (raced, up) = tokio::join!(raced, moves.wait(BusStatus::Up));
    raced.and(up)?;
    publishes.publish("room", "found")?;
    moves.expect("room", "found").await?;
    race(&stays, &moves, "moved", 100).await?;
    race(&moves, &publishes, "back", 100).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vanished_server_delays_joins_once() -> Result<()> {
    let cluster = NatsCluster::start(3).await?;
    let joiner = Node::nats(config(&cluster.node(0)?.url(), "vanished")?).await?;
    let other = Node::nats(config(&cluster.node(1)?.url(), "vanished")?).await?;
    let dying = Node::nats(config(&cluster.node(2)?.url(), "vanished")?).await?;
    race(&joiner, &dying, "before", 3).await?;
    cluster.kill(2)?;
    dying.wait(BusStatus::Down).await?;
    let began = Instant::now();
    race(&joiner, &other, "after", 50).await?;
    // One wait of half a second for the dead server, not fifty.
    ensure!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let partial = joiner.counted("natter_join_barriers_total", &[("result", "partial")])?;
    ensure!(partial <= 1, "{partial} barriers waited for the dead server");
    Ok(())
}
