//! Joins that race with publications from another gateway: nothing published after the join reply may be lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::{NatsCluster, NatsServer};
use serde_json::json;

use crate::support::{connect, gateway, publish, subscribe};
use crate::users;

/// Joins `rooms` fresh rooms at `joining`, one after another, while a client at `publishing` publishes to each.
pub(crate) async fn race(joining: &Gateway, publishing: &Gateway, name: &str, rooms: usize) -> Result<()> {
    let (mut member, mut publisher) = (connect(joining).await?, connect(publishing).await?);
    for number in 0..rooms {
        let room = format!("{name}-{number}");
        one_room(&mut member, &mut publisher, &room)
            .await
            .with_context(|| format!("room {room}"))?;
    }
    Ok(())
}

/// The publisher numbers its messages and ends with the first one that it begins after the join reply.
async fn one_room(member: &mut Client, publisher: &mut Client, room: &str) -> Result<()> {
    let (begun, joined) = (AtomicU64::new(0), AtomicBool::new(false));
    let publishing = async {
        loop {
            let is_last = joined.load(Ordering::SeqCst);
            let number = begun.fetch_add(1, Ordering::SeqCst);
            publish(publisher, room, json!(number)).await?;
            if is_last {
                return anyhow::Ok(number);
            }
        }
    };
    let joining = async {
        subscribe(member, room).await?;
        let promised = begun.load(Ordering::SeqCst);
        joined.store(true, Ordering::SeqCst);
        anyhow::Ok(promised)
    };
    let (last, promised) = tokio::try_join!(publishing, joining)?;
    let mut due = None;
    loop {
        let push = member
            .push()
            .await
            .with_context(|| format!("{promised} to {last} were promised, {due:?} is due"))?;
        let number = push["pub"]["data"].as_u64().context("no number")?;
        ensure!(push["channel"] == room, "{push} came late or twice");
        ensure!(
            due.map_or(number <= promised, |due| number == due),
            "{number} came, {due:?} was due, {promised} and later were promised"
        );
        if number == last {
            return Ok(());
        }
        due = Some(number + 1);
    }
}

#[tokio::test]
async fn three_hundred_joins_lose_nothing_on_one_server() -> Result<()> {
    let nats = users::server().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    try_join_all((0..6).map(|lane| {
        let (joining, publishing) = if lane % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let name = format!("lane-{lane}");
        async move { race(joining, publishing, &name, 50).await }
    }))
    .await
    .map(drop)
}

#[tokio::test]
async fn three_hundred_joins_lose_nothing_between_three_nodes() -> Result<()> {
    let nats = NatsCluster::start(3).await?;
    let urls: Vec<_> = nats.nodes().iter().map(NatsServer::url).collect();
    let (a, b, c) = tokio::try_join!(
        gateway("a", urls[0].clone()),
        gateway("b", urls[1].clone()),
        gateway("c", urls[2].clone())
    )?;
    let pairs = [(&a, &b), (&b, &c), (&c, &a), (&b, &a), (&c, &b), (&a, &c)];
    try_join_all(pairs.iter().enumerate().map(|(lane, (joining, publishing))| {
        let name = format!("lane-{lane}");
        async move { race(joining, publishing, &name, 50).await }
    }))
    .await?;
    // Who has just started knows the others before it says that it is ready.
    for round in 0..2 {
        b.restart_same_port().await?;
        crate::support::wait_bus(&b, "up").await?;
        let (joins, publishes) = (format!("joins-{round}"), format!("publishes-{round}"));
        tokio::try_join!(race(&b, &a, &joins, 5), race(&c, &b, &publishes, 5))?;
    }
    Ok(())
}
