//! A gateway dies with a thousand users.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::json;
use tokio::time::Instant;

use super::scene::{Told, Who, clients, cluster, users, wait_count};
use crate::support::{LIMIT, call, metric};
use crate::users;

const USERS: usize = 1_000;
const ROOM: &str = "live:room";
/// Silence after which a gateway counts as gone, and what may come on top of it.
const LEASE: Duration = Duration::from_secs(12);
/// Longer than the windows in which something more could be told.
const BEHIND: Duration = Duration::from_secs(1);

/// A member at a gateway that lives on, and all that it was ever told.
struct Watcher {
    client: Client,
    told: Told,
}

impl Watcher {
    /// Members with a name who were said to come.
    fn joins(&self) -> BTreeMap<&Who, usize> {
        let named = self.told.joins.iter().filter(|((user, _), _)| !user.is_empty());
        named.map(|(who, times)| (who, *times)).collect()
    }
}

async fn listen(watchers: &mut [Watcher], limit: Duration, enough: fn(&Told) -> bool) -> Result<()> {
    let listening = watchers
        .iter_mut()
        .map(|Watcher { client, told }| told.listen(client, limit, enough));
    try_join_all(listening).await.map(drop)
}

async fn num_users(gateway: &Gateway) -> Result<serde_json::Value> {
    let stats = call(gateway, "presence_stats", json!({ "channel": ROOM })).await?;
    Ok(stats["num_users"].clone())
}

#[tokio::test]
async fn a_gateway_that_is_killed_takes_its_thousand_users_with_it_once() -> Result<()> {
    let nats = users::server().start().await?;
    let [a, b, c] = cluster(&nats.url()).await?;
    let mut watchers = Vec::new();
    for gateway in [&b, &c] {
        let clients = clients(gateway, ROOM, 2).await?;
        watchers.extend(clients.into_iter().map(|client| Watcher {
            client,
            told: Told::default(),
        }));
    }
    let (users, known) = users(&a, ROOM, USERS).await?;
    wait_count(&[&a, &b, &c], ROOM, USERS + 4).await?;
    for gateway in [&a, &b, &c] {
        // Whoever has no name is one user.
        ensure!(num_users(gateway).await? == USERS + 1);
    }
    let enough = |told: &Told| told.joins.keys().filter(|(user, _)| !user.is_empty()).count() == USERS;
    listen(&mut watchers, LIMIT, enough).await?;
    a.kill()?;
    let killed = Instant::now();
    drop(users);
    listen(&mut watchers, LEASE, |told| told.leaves.len() == USERS).await?;
    let took = killed.elapsed();
    wait_count(&[&b, &c], ROOM, 4).await?;
    listen(&mut watchers, BEHIND, |_| false).await?;

    let everybody: BTreeMap<_, _> = known.iter().map(|(who, times)| (who, *times)).collect();
    for watcher in &watchers {
        ensure!(watcher.joins() == everybody, "{} joins", watcher.joins().len());
        ensure!(
            watcher.told.leaves == known,
            "{} leaves within {took:?}",
            watcher.told.leaves.len()
        );
        watcher.told.nobody_twice()?;
    }
    ensure!(took <= LEASE, "{took:?}");
    for gateway in [&b, &c] {
        ensure!(num_users(gateway).await? == 1);
        let gone = metric(gateway, "natter_presence_gone_total", &[]).await?;
        assert_eq!(gone.to_string(), USERS.to_string());
    }
    Ok(())
}
