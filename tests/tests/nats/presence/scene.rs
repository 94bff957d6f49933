//! Rooms with presence at several gateways, and what their members are told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{LIMIT, builder, call, connect, identified, subscribe, wait_bus, wait_names};

const ROOMS: &str = "rooms:
  namespaces:
  - {name: live, subscribe: anyone, presence: true, presence_read: anyone, join_leave: true, force_push_join_leave: true}
  - {name: kept, subscribe: anyone, presence: true, join_leave: true, force_push_join_leave: true, history: {}}
  - {name: few, subscribe: anyone, presence: true, presence_limit: 6, join_leave: true, force_push_join_leave: true}
  - {name: quiet, subscribe: anyone, presence: true, presence_limit: 5000, presence_read: anyone}
";

/// Longer than two windows and every question that a missed word brings, on a busy machine too.
pub(super) const TOLD: Duration = Duration::from_secs(20);
/// Connections that are opened side by side.
const TOGETHER: usize = 50;

pub(super) async fn start(name: &str, nats: &str) -> Result<Gateway> {
    let gateway = builder(name, nats, ROOMS).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

/// Two gateways that know each other.
pub(super) async fn pair(nats: &str) -> Result<[Gateway; 2]> {
    let (a, b) = tokio::try_join!(start("a", nats), start("b", nats))?;
    for gateway in [&a, &b] {
        wait_names(gateway, &["a", "b"], LIMIT).await?;
    }
    Ok([a, b])
}

pub(super) async fn cluster(nats: &str) -> Result<[Gateway; 3]> {
    let (a, b, c) = tokio::try_join!(start("a", nats), start("b", nats), start("c", nats))?;
    for gateway in [&a, &b, &c] {
        wait_names(gateway, &["a", "b", "c"], LIMIT).await?;
    }
    Ok([a, b, c])
}

/// So many of whatever `make` makes of its number, some at once.
pub(super) async fn many<T>(count: usize, make: impl AsyncFn(usize) -> Result<T>) -> Result<Vec<T>> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let next = all.len()..count.min(all.len() + TOGETHER);
        all.extend(try_join_all(next.map(|number| make(number))).await?);
    }
    Ok(all)
}

/// Anonymous members of a room.
pub(super) async fn clients(gateway: &Gateway, room: &str, count: usize) -> Result<Vec<Client>> {
    many(count, async |_| {
        let mut client = connect(gateway).await?;
        subscribe(&mut client, room).await?;
        Ok(client)
    })
    .await
}

/// Members of a room with a name each, and who they are.
pub(super) async fn users(
    gateway: &Gateway,
    room: &str,
    count: usize,
) -> Result<(Vec<Client>, BTreeMap<Who, usize>)> {
    let users = many(count, async |number| {
        let name = format!("user-{number}");
        let (mut client, id) = identified(gateway, &name).await?;
        subscribe(&mut client, room).await?;
        Ok((client, ((name, id), 1)))
    });
    Ok(users.await?.into_iter().unzip())
}

pub(super) async fn count(gateway: &Gateway, room: &str) -> Result<usize> {
    let answer = call(gateway, "presence", json!({ "channel": room })).await?;
    let stats = call(gateway, "presence_stats", json!({ "channel": room })).await?;
    let members = answer["presence"].as_object().context("no members")?.len();
    ensure!(stats["num_clients"] == members, "{stats} of {members}");
    Ok(members)
}

pub(super) async fn wait_count(gateways: &[&Gateway], room: &str, expected: usize) -> Result<()> {
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

/// What came until `enough` or the limit.
pub(super) async fn told(
    client: &mut Client,
    limit: Duration,
    enough: impl Fn(&Told) -> bool,
) -> Result<Told> {
    let mut told = Told::default();
    told.listen(client, limit, enough).await?;
    Ok(told)
}

/// User and id of a connection.
pub(super) type Who = (String, String);

/// How often each connection was said to join and to leave.
#[derive(Default)]
pub(super) struct Told {
    pub(super) joins: BTreeMap<Who, usize>,
    pub(super) leaves: BTreeMap<Who, usize>,
}

impl Told {
    /// Notes what comes until it is `enough` or the limit is reached.
    pub(super) async fn listen(
        &mut self,
        client: &mut Client,
        limit: Duration,
        enough: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(push) = timeout(left, client.push()).await else {
                break;
            };
            self.note(&push?)?;
        }
        Ok(())
    }

    fn note(&mut self, push: &Value) -> Result<()> {
        let (book, info) = match (&push["join"], &push["leave"]) {
            (Value::Null, Value::Null) => return Ok(()),
            (Value::Null, leave) => (&mut self.leaves, &leave["info"]),
            (join, _) => (&mut self.joins, &join["info"]),
        };
        let text = |name: &str| info[name].as_str().map(str::to_owned);
        let who = (
            text("user").context("no user")?,
            text("client").context("no client")?,
        );
        *book.entry(who).or_default() += 1;
        Ok(())
    }

    pub(super) fn nobody_twice(&self) -> Result<()> {
        let twice = self
            .joins
            .iter()
            .chain(&self.leaves)
            .find(|(_, times)| **times > 1);
        ensure!(twice.is_none(), "{twice:?}");
        Ok(())
    }
}
