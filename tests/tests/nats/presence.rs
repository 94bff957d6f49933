//! Who is in a room at several gateways, also when one of them dies or loses its bus.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{LIMIT, builder, call, connect, metric, subscribe, user, wait_bus, wait_names};

const ROOMS: &str = "rooms:
  namespaces:
  - {name: live, subscribe: anyone, presence: true, presence_read: anyone, join_leave: true, force_push_join_leave: true}
  - {name: kept, subscribe: anyone, presence: true, join_leave: true, force_push_join_leave: true, history: {}}
  - {name: few, subscribe: anyone, presence: true, presence_limit: 6, join_leave: true, force_push_join_leave: true}
";

/// Silence after which a gateway counts as gone, and what may come on top of it.
const LEASE: Duration = Duration::from_secs(12);
/// Longer than two windows and every question that a missed word brings.
const TOLD: Duration = Duration::from_secs(5);

async fn start(name: &str, nats: &str) -> Result<Gateway> {
    let gateway = builder(name, nats, ROOMS).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

async fn cluster(nats: &str) -> Result<[Gateway; 3]> {
    let (a, b, c) = tokio::try_join!(start("a", nats), start("b", nats), start("c", nats))?;
    for gateway in [&a, &b, &c] {
        wait_names(gateway, &["a", "b", "c"], LIMIT).await?;
    }
    Ok([a, b, c])
}

async fn clients(gateway: &Gateway, room: &str, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    while clients.len() < count {
        let more = (count - clients.len()).min(50);
        clients.extend(
            try_join_all((0..more).map(async |_| {
                let mut client = connect(gateway).await?;
                subscribe(&mut client, room).await?;
                anyhow::Ok(client)
            }))
            .await?,
        );
    }
    Ok(clients)
}

async fn count(gateway: &Gateway, room: &str) -> Result<usize> {
    let answer = call(gateway, "presence", json!({ "channel": room })).await?;
    let stats = call(gateway, "presence_stats", json!({ "channel": room })).await?;
    let members = answer["presence"].as_object().context("no members")?.len();
    ensure!(stats["num_clients"] == members, "{stats} of {members}");
    Ok(members)
}

async fn wait_count(gateways: &[&Gateway], room: &str, expected: usize) -> Result<()> {
    for gateway in gateways {
        eventually(&format!("{expected} are in {room}"), LIMIT, async || {
            let count = count(gateway, room).await?;
            ensure!(count == expected, "{count}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// How often each connection was said to join and to leave, by what came until `enough` or the limit.
async fn told(client: &mut Client, limit: Duration, enough: impl Fn(&Told) -> bool) -> Result<Told> {
    let mut told = Told::default();
    let deadline = Instant::now() + limit;
    while !enough(&told) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(push) = timeout(left, client.push()).await else {
            break;
        };
        told.note(&push?)?;
    }
    Ok(told)
}

#[derive(Default)]
struct Told {
    joins: BTreeMap<String, usize>,
    leaves: BTreeMap<String, usize>,
}

impl Told {
    fn note(&mut self, push: &Value) -> Result<()> {
        let (book, info) = match (&push["join"], &push["leave"]) {
            (Value::Null, Value::Null) => return Ok(()),
            (Value::Null, leave) => (&mut self.leaves, &leave["info"]),
            (join, _) => (&mut self.joins, &join["info"]),
        };
        let client = info["client"].as_str().context("no client")?;
        *book.entry(client.to_owned()).or_default() += 1;
        Ok(())
    }

    fn nobody_twice(&self) -> Result<()> {
        let twice = self
            .joins
            .iter()
            .chain(&self.leaves)
            .find(|(_, times)| **times > 1);
        ensure!(twice.is_none(), "{twice:?}");
        Ok(())
    }
}

#[tokio::test]
async fn everybody_is_known_at_every_gateway() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
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
    let nats = NatsServer::start().await?;
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
async fn a_gateway_that_is_killed_takes_its_thousand_users_with_it_once() -> Result<()> {
    const USERS: usize = 1_000;
    let nats = NatsServer::start().await?;
    let [a, b, c] = cluster(&nats.url()).await?;
    let mut watchers = Vec::new();
    for gateway in [&b, &c] {
        watchers.extend(clients(gateway, "live:room", 2).await?);
    }
    let users = clients(&a, "live:room", USERS).await?;
    wait_count(&[&a, &b, &c], "live:room", USERS + 4).await?;
    for watcher in &mut watchers {
        let told = told(watcher, LIMIT, |told| told.joins.len() >= USERS).await?;
        ensure!(
            told.joins.len() >= USERS && told.leaves.is_empty(),
            "{} joins",
            told.joins.len()
        );
        told.nobody_twice()?;
    }
    a.kill()?;
    let killed = Instant::now();
    drop(users);
    let all = try_join_all(
        watchers
            .iter_mut()
            .map(|watcher| told(watcher, LEASE, |told| told.leaves.len() >= USERS)),
    )
    .await?;
    let took = killed.elapsed();
    for told in all {
        assert_eq!(told.leaves.len(), USERS, "within {took:?}");
        ensure!(took <= LEASE, "{took:?}");
        told.nobody_twice()?;
    }
    wait_count(&[&b, &c], "live:room", 4).await?;
    // Nothing comes behind it.
    for watcher in &mut watchers {
        let late = told(watcher, Duration::from_secs(1), |told| !told.leaves.is_empty()).await?;
        ensure!(
            late.leaves.is_empty() && late.joins.len() <= 4,
            "{:?}",
            late.leaves
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_takes_its_leave_is_not_waited_for() -> Result<()> {
    let nats = NatsServer::start().await?;
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
    let nats = NatsServer::start().await?;
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
    let nats = NatsServer::start().await?;
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
