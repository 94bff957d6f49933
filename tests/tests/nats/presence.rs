//! Who is in a room at several gateways, also when one of them dies or loses its bus.

mod costs;
mod killed;
mod reads;
mod scene;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use self::scene::{TOLD, clients, cluster, count, start, told, wait_count};
use crate::support::{LIMIT, call, connect, metric, subscribe, user, wait_bus};
use crate::users;

#[tokio::test]
async fn everybody_is_known_at_every_gateway() -> Result<()> {
    let nats = users::server().jetstream().start().await?;
    let [a, b, c] = cluster(&nats.url()).await?;
    for room in ["live:room", "kept:room"] {
        let mut ann = user(&a, "ann").await?;
        subscribe(&mut ann, room).await?;
        let mut bob = user(&b, "bob").await?;
        subscribe(&mut bob, room).await?;
        // At once, also where the digest is still under way, and where nobody of the room is.
        for gateway in [&a, &b, &c] {
            let stats = call(gateway, "presence_stats", json!({ "channel": room })).await?;
            assert_eq!(stats, json!({ "num_clients": 2, "num_users": 2 }), "{room}");
        }
        let present = bob.request(json!({ "presence": { "channel": room } })).await?;
        let mut users: Vec<_> = present["presence"]["presence"]
            .as_object()
            .with_context(|| present.to_string())?
            .values()
            .map(|info| info["user"].clone())
            .collect();
        users.sort_by_key(Value::to_string);
        assert_eq!(users, ["ann", "bob"], "{room}");

        // Ann is told of herself and of Bob; Bob, who came later, of himself alone.
        let both = told(&mut ann, TOLD, |told| told.joins.len() == 2).await?;
        assert_eq!(both.joins.len(), 2, "{room}");
        drop(bob);
        let gone = told(&mut ann, TOLD, |told| !told.leaves.is_empty()).await?;
        assert_eq!((gone.joins.len(), gone.leaves.len()), (0, 1), "{room}");
        wait_count(&[&a, &b, &c], room, 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_newcomer_gets_a_digest_and_is_told_of_nobody() -> Result<()> {
    let nats = users::server().start().await?;
    let [a, b, c] = cluster(&nats.url()).await?;
    let _first = clients(&a, "live:room", 300).await?;
    let _second = clients(&b, "live:room", 200).await?;
    wait_count(&[&a, &b], "live:room", 500).await?;
    // Whoever is counted at their own gateway may still have to be announced.
    for (gateway, others) in [(&a, 200.0), (&b, 300.0)] {
        eventually("everybody is announced", LIMIT, async || {
            let known = metric(gateway, "natter_presence_members", &[("source", "others")]).await?;
            ensure!(known >= others, "{known}");
            Ok(())
        })
        .await?;
    }
    let mut newcomer = connect(&c).await?;
    subscribe(&mut newcomer, "live:room").await?;
    wait_count(&[&a, &b, &c], "live:room", 501).await?;
    // Once it has settled, what is known is at hand.
    eventually("reads are answered from memory", LIMIT, async || {
        let before = metric(&c, "natter_presence_reads_total", &[("source", "here")]).await?;
        count(&c, "live:room").await?;
        let after = metric(&c, "natter_presence_reads_total", &[("source", "here")]).await?;
        ensure!(after > before, "{before}, {after}");
        Ok(())
    })
    .await?;
    let told = told(&mut newcomer, Duration::from_secs(1), |told| told.joins.len() > 1).await?;
    assert_eq!(told.joins.len(), 1, "itself");
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_takes_its_leave_is_not_waited_for() -> Result<()> {
    let nats = users::server().start().await?;
    let [a, b, _c] = cluster(&nats.url()).await?;
    let mut watcher = connect(&b).await?;
    subscribe(&mut watcher, "live:room").await?;
    let _users = clients(&a, "live:room", 50).await?;
    let before = told(&mut watcher, TOLD, |told| told.joins.len() == 51).await?;
    assert_eq!(before.joins.len(), 51);
    a.terminate()?;
    let told = told(&mut watcher, TOLD, |told| told.leaves.len() == 50).await?;
    assert_eq!(told.leaves.len(), 50);
    told.nobody_twice()?;
    wait_count(&[&b], "live:room", 1).await
}

#[tokio::test]
async fn what_happens_while_the_bus_is_away_is_known_after_it() -> Result<()> {
    let nats = users::server().start().await?;
    let proxy = Proxy::to_port(nats.port()).await?;
    let (cut, whole) = (format!("nats://{}", proxy.address()), nats.url());
    let (a, b) = tokio::try_join!(start("a", &cut), start("b", &whole))?;
    let mut stays = clients(&a, "live:room", 3).await?;
    let mut watchers = clients(&b, "live:room", 2).await?;
    wait_count(&[&a, &b], "live:room", 5).await?;
    // Long enough to be told of all who have come.
    for watcher in watchers.iter_mut().chain(&mut stays) {
        told(watcher, Duration::from_secs(1), |_| false).await?;
    }
    proxy.cut();
    wait_bus(&a, "down").await?;
    let reply = stays[0]
        .request(json!({ "presence": { "channel": "live:room" } }))
        .await?;
    assert_eq!(reply["error"]["code"], 100, "{reply}");
    // One goes at either side.
    stays.pop();
    watchers.pop();
    proxy.resume();
    wait_bus(&a, "up").await?;
    wait_count(&[&a, &b], "live:room", 3).await?;
    for watcher in stays.iter_mut().chain(&mut watchers) {
        let told = told(watcher, TOLD, |told| told.leaves.len() == 2).await?;
        assert_eq!((told.leaves.len(), told.joins.len()), (2, 0), "{:?}", told.leaves);
        told.nobody_twice()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_room_over_its_limit_is_counted_over_all_gateways() -> Result<()> {
    let nats = users::server().start().await?;
    let [a, b, c] = cluster(&nats.url()).await?;
    let mut first = clients(&a, "few:room", 4).await?;
    let mut second = clients(&b, "few:room", 4).await?;
    for gateway in [&a, &b, &c] {
        eventually("eight are counted", LIMIT, async || {
            let stats = call(gateway, "presence_stats", json!({ "channel": "few:room" })).await?;
            ensure!(stats["num_clients"] == 8, "{stats}");
            let answer = gateway.api("presence", &json!({ "channel": "few:room" })).await?;
            ensure!(answer["error"]["code"] == 106, "{answer}");
            Ok(())
        })
        .await?;
    }
    first.truncate(2);
    second.truncate(2);
    wait_count(&[&a, &b, &c], "few:room", 4).await
}
