//! Two connections to NATS: rooms on one, all else on the other, perhaps at two servers, and each may be lost alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_gateway::bus::{BusError, BusStatus};
use natter_gateway::channel::Channel;
use natter_gateway::config::HistoryOptions;
use natter_gateway::history::HistoryPolicy;
use natter_gateway::publication::Publication;
use natter_tests::nats::{DistantPair, NatsBuilder, NatsServer};
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cluster::race;
use crate::support::{LIMIT, Node, config};

/// One way between two sites.
const DISTANCE: Duration = Duration::from_millis(20);

/// An account of the gateways, and one that may end connections.
const ACCOUNTS: &str = "accounts {
  APP: { jetstream: enabled, users: [ { user: app, password: app } ] }
  SYS: { users: [ { user: sys, password: sys } ] }
}
system_account: SYS";

fn with_login(server: &NatsServer, user: &str) -> String {
    server.url().replace("nats://", &format!("nats://{user}:{user}@"))
}

fn policy() -> Arc<HistoryPolicy> {
    Arc::new(HistoryPolicy {
        namespace: "chat".into(),
        options: HistoryOptions {
            size: 10_000,
            ..HistoryOptions::default()
        },
    })
}

/// The connections of one name.
async fn named(server: &NatsServer, name: &str) -> Result<Vec<Value>> {
    let connz = server.get("connz?subs=1").await?;
    let all = connz["connections"].as_array().context("no connections")?;
    Ok(all.iter().filter(|one| one["name"] == name).cloned().collect())
}

#[tokio::test]
async fn rooms_are_on_a_connection_of_their_own() -> Result<()> {
    let server = NatsBuilder::default().jetstream().start().await?;
    let node = Node::nats(config(&server.url(), "two")?).await?;
    node.bus.prepare(vec![policy()]);
    node.subscribe("plain").await?;
    node.bus
        .subscribe(Channel::from("chat:kept"), Some(policy()))
        .await?;
    let rooms = named(&server, "natter-tests rooms").await?;
    let rest = named(&server, "natter-tests").await?;
    ensure!(rooms.len() == 1 && rest.len() == 1, "{rooms:?} {rest:?}");
    let of_rooms = |one: &Value| {
        let all = one["subscriptions_list"].as_array().into_iter().flatten();
        let all = all.filter_map(Value::as_str);
        all.filter(|subject| {
            ["two.eph.", "two.live."]
                .iter()
                .any(|family| subject.starts_with(family))
        })
        .map(str::to_owned)
        .collect::<Vec<_>>()
    };
    let mut found = of_rooms(&rooms[0]);
    found.sort();
    ensure!(
        found.len() == 2 && found[0] == "two.eph.0.plain" && found[1].ends_with(".chat:kept"),
        "{found:?}"
    );
    ensure!(of_rooms(&rest[0]).is_empty());
    Ok(())
}

/// Ends the connection of this name, as an administrator would.
async fn kick(server: &NatsServer, name: &str) -> Result<()> {
    let one = named(server, name).await?.pop().context("no such connection")?;
    let id = server.varz().await?["server_id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let login = async_nats::ConnectOptions::with_user_and_password("sys".to_owned(), "sys".to_owned());
    let administrator = login.connect(server.url()).await?;
    let order = json!({ "cid": one["cid"] }).to_string();
    administrator
        .request(format!("$SYS.REQ.SERVER.{id}.KICK"), order.into())
        .await?;
    Ok(())
}

/// Rooms of a node that loses one of its connections five times, while another one publishes.
async fn survives_the_loss_of(name: &str) -> Result<()> {
    let server = NatsServer::builder().jetstream().config(ACCOUNTS).start().await?;
    let loses = Node::nats(config(&with_login(&server, "app"), "alone")?).await?;
    let mut other = config(&with_login(&server, "app"), "alone")?;
    "other".clone_into(&mut other.name);
    let other = Node::nats(other).await?;
    for node in [&loses, &other] {
        node.bus.prepare(vec![policy()]);
    }
    loses
        .bus
        .subscribe(Channel::from("chat:kept"), Some(policy()))
        .await?;
    loses.subscribe("plain").await?;
    let mut said = 0;
    for loss in 1..=5 {
        let mut status = loses.bus.status();
        status.mark_unchanged();
        kick(&server, name).await?;
        // What is waited for is let go of at once: while it is held nobody can change it.
        let down = async {
            status
                .wait_for(|status| *status == BusStatus::Down)
                .await
                .map(drop)
        };
        let publish = async {
            // Before, while and after it is away.
            while loses.counted("natter_bus_reconnects_total", &[])? < loss {
                said += 1;
                let publication = Publication::new(said.to_string());
                other
                    .bus
                    .store("chat:kept", &policy(), &publication, None)
                    .await?;
            }
            anyhow::Ok(())
        };
        let (down, published) = tokio::join!(timeout(LIMIT, down), timeout(LIMIT, publish));
        down??;
        published??;
        other.publish("plain", "back")?;
        ensure!(other.bus.is_up(), "the other node has lost nothing");
    }
    // Everything that was kept, once and in order; what was not is there again after each loss.
    let (mut kept, mut plain) = (0, 0);
    while kept < said || plain < 5 {
        let (room, text) = loses.next_text().await?;
        if room == "plain" {
            plain += 1;
        } else {
            kept += 1;
            ensure!(text == kept.to_string(), "{kept} was due, {text} came");
        }
    }
    loses.publish("plain", "last")?;
    loses.expect("plain", "last").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_the_rooms_may_be_lost_alone() -> Result<()> {
    survives_the_loss_of("natter-tests rooms").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_connection_may_be_lost_alone() -> Result<()> {
    survives_the_loss_of("natter-tests").await
}

/// A balancer before NATS sends the two connections of a gateway to two servers, far from each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_far_apart_prove_joins_all_the_same() -> Result<()> {
    let pair = DistantPair::start().await?;
    let near = Node::nats(config(&pair.near.url(), "apart")?).await?;
    let far = Node::nats(config(&pair.far.url(), "apart")?).await?;
    for number in 0..6 {
        // One way only: what comes back over the short one must not stand for what goes over the long one.
        let (there, back) = if number % 2 == 0 {
            (DISTANCE, Duration::ZERO)
        } else {
            (Duration::ZERO, DISTANCE)
        };
        pair.link.delays(there, back);
        let ports = [pair.near.port(), pair.far.port()];
        let balancer = Proxy::to_ports(&ports).await?;
        let mut own = config(&format!("nats://{}", balancer.address()), "apart")?;
        own.name = format!("apart {number}");
        let name = own.name.clone();
        let apart = Node::nats(own).await?;
        let at_near =
            named(&pair.near, &name).await?.len() + named(&pair.near, &format!("{name} rooms")).await?.len();
        assert_eq!(at_near, 1, "one connection at each server");
        for (other, place) in [(&near, "near"), (&far, "far")] {
            race(&apart, other, &format!("joins-{number}-{place}"), 5).await?;
            race(other, &apart, &format!("publishes-{number}-{place}"), 5).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_may_not_be_subscribed_is_refused() -> Result<()> {
    let denied = r#"subscribe: { deny: ["may.eph.0.secret", "may.live.chat.*.chat:secret"] }"#;
    let server = NatsServer::builder()
        .jetstream()
        .config(&format!(
            "authorization {{ users: [ {{ user: app, password: app, permissions: {{ {denied} }} }} ] }}"
        ))
        .start()
        .await?;
    let node = Node::nats(config(&with_login(&server, "app"), "may")?).await?;
    node.bus.prepare(vec![policy()]);
    assert_eq!(node.subscribe("secret").await, Err(BusError::Refused));
    let kept = |room| node.bus.subscribe(Channel::from(room), Some(policy()));
    assert_eq!(kept("chat:secret").await.err(), Some(BusError::Refused));
    assert_eq!(
        node.counted("natter_bus_errors_total", &[("kind", "permission")])?,
        2
    );
    kept("chat:open").await?;
    node.subscribe("open").await?;
    node.publish("secret", "not here")?;
    node.publish("open", "here")?;
    node.expect("open", "here").await
}

/// More rooms than are told to a new connection at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_rooms_are_subscribed_again() -> Result<()> {
    const ROOMS: usize = 5_000;
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "many")?).await?;
    for number in 0..ROOMS {
        node.bus
            .subscribe_later(Channel::from(format!("r{number}").as_str()));
    }
    for _ in 0..2 {
        node.wait(BusStatus::Up).await?;
        eventually("every room has one subscription", LIMIT, async || {
            let found = server.subscriptions("many.eph.").await?.len();
            ensure!(found == ROOMS, "{found}");
            Ok(())
        })
        .await?;
        server.kill()?;
        node.wait(BusStatus::Down).await?;
        node.unsubscribe("r0");
        node.bus.subscribe_later(Channel::from("r0"));
        server.restart().await?;
    }
    node.wait(BusStatus::Up).await?;
    for room in ["r0", "r1024", "r4999"] {
        node.publish(room, room)?;
        node.expect(room, room).await?;
    }
    Ok(())
}
