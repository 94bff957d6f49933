//! The suite: every scenario runs on the embedded bus, on NATS with one gateway, and on NATS between two.

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use natter_gateway::bus::{BusError, BusStatus, Recipient};
use natter_gateway::publication::Publication;
use natter_tests::nats::NatsServer;
use uuid::Uuid;

use crate::support::{Node, config};

/// Names with everything that means something to NATS, or to our own escaping.
const ODD_NAMES: [&str; 14] = [
    "a",
    "a.b",
    "a%2Eb",
    "a.*",
    "*",
    ">",
    "a.>",
    "$SYS",
    "%",
    "%25",
    "two words",
    "tab\there",
    "ü",
    "A",
];

macro_rules! on_every_bus {
    ($($scenario:ident)*) => {
        mod embedded {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() -> Result<()> {
                    let node = Node::embedded()?;
                    super::$scenario(&node, &node).await
                }
            )*
        }

        mod nats_alone {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() -> Result<()> {
                    let server = NatsServer::start().await?;
                    let node = Node::nats(config(&server.url(), "alone")?).await?;
                    super::$scenario(&node, &node).await
                }
            )*
        }

        mod nats_between_two {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() -> Result<()> {
                    let server = NatsServer::start().await?;
                    let publisher = Node::nats(config(&server.url(), "two")?).await?;
                    let subscriber = Node::nats(config(&server.url(), "two")?).await?;
                    super::$scenario(&publisher, &subscriber).await
                }
            )*
        }
    };
}

on_every_bus! {
    publications_come_once_and_in_order
    own_publications_come_back_once
    a_publication_arrives_whole
    joins_at_once_are_all_live
    rooms_with_odd_names_do_not_meet
    a_room_joined_again_gets_each_message_once
    too_large_messages_are_refused
    control_messages_reach_all
    control_messages_reach_one
    it_is_up_until_it_is_closed
}

async fn publications_come_once_and_in_order(publisher: &Node, subscriber: &Node) -> Result<()> {
    subscriber.subscribe("room").await?;
    for number in 0..1000 {
        publisher.publish("room", &number.to_string())?;
    }
    for number in 0..1000 {
        subscriber.expect("room", &number.to_string()).await?;
    }
    Ok(())
}

async fn own_publications_come_back_once(publisher: &Node, subscriber: &Node) -> Result<()> {
    for node in [publisher, subscriber] {
        node.subscribe("room").await?;
    }
    for text in ["first", "second"] {
        subscriber.publish("room", text)?;
    }
    for text in ["first", "second"] {
        subscriber.expect("room", text).await?;
    }
    if publisher.id != subscriber.id {
        publisher.expect("room", "first").await?;
        publisher.expect("room", "second").await?;
    }
    Ok(())
}

async fn a_publication_arrives_whole(publisher: &Node, subscriber: &Node) -> Result<()> {
    subscriber.subscribe("room").await?;
    let mut full = Publication::new("{\"text\":\"Grüße\u{1f44b}\"}".as_bytes().to_vec());
    full.info = Some(Bytes::from_static(
        "{\"user\":\"Zoë\",\"client\":\"c\"}".as_bytes(),
    ));
    full.tags = Some(Bytes::from_static(b"{\"a\":\"b c: d\",\"\":\"\"}"));
    full.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let bare = Publication::new(&b"1"[..]);
    for publication in [full, bare] {
        publisher.bus.publish("room", &publication)?;
        let arrived = subscriber.next().await?;
        ensure!(
            arrived == ("room".to_owned(), publication.clone()),
            "{publication:?} became {arrived:?}"
        );
    }
    Ok(())
}

async fn joins_at_once_are_all_live(publisher: &Node, subscriber: &Node) -> Result<()> {
    let rooms: Vec<_> = (0..300).map(|number| format!("room-{number}")).collect();
    try_join_all(rooms.iter().map(async |room| {
        subscriber.subscribe(room).await?;
        publisher.publish(room, room)
    }))
    .await?;
    let mut missing: std::collections::HashSet<_> = rooms.into_iter().collect();
    while !missing.is_empty() {
        let (room, text) = subscriber.next_text().await?;
        ensure!(
            room == text && missing.remove(&room),
            "{text} in {room} came again or elsewhere"
        );
    }
    Ok(())
}

async fn rooms_with_odd_names_do_not_meet(publisher: &Node, subscriber: &Node) -> Result<()> {
    let longest = "ab.".repeat(85);
    let names: Vec<_> = ODD_NAMES.into_iter().chain([longest.as_str()]).collect();
    for name in &names {
        subscriber.subscribe(name).await?;
    }
    for name in &names {
        publisher.publish(name, name)?;
        subscriber.expect(name, name).await?;
    }
    Ok(())
}

async fn a_room_joined_again_gets_each_message_once(publisher: &Node, subscriber: &Node) -> Result<()> {
    subscriber.subscribe("stays").await?;
    for round in 0..20 {
        subscriber.subscribe("room").await?;
        let text = round.to_string();
        for room in ["room", "stays"] {
            publisher.publish(room, &text)?;
            subscriber.expect(room, &text).await?;
        }
        subscriber.unsubscribe("room");
    }
    Ok(())
}

async fn too_large_messages_are_refused(publisher: &Node, subscriber: &Node) -> Result<()> {
    subscriber.subscribe("room").await?;
    let largest = "x".repeat(publisher.bus.max_message_size());
    ensure!(
        publisher.publish("room", &format!("{largest}x")) == Err(BusError::TooLarge),
        "a message above the limit was taken"
    );
    publisher.publish("room", &largest)?;
    let (_, text) = subscriber.next_text().await?;
    ensure!(text == largest, "{} bytes of {}", text.len(), largest.len());
    Ok(())
}

async fn control_messages_reach_all(publisher: &Node, subscriber: &Node) -> Result<()> {
    for text in ["first", "second"] {
        publisher.send(Recipient::All, text)?;
    }
    for text in ["first", "second"] {
        subscriber.expect_control(text).await?;
        if publisher.id != subscriber.id {
            publisher.expect_control(text).await?;
        }
    }
    Ok(())
}

async fn control_messages_reach_one(publisher: &Node, subscriber: &Node) -> Result<()> {
    publisher.send(Recipient::Node(Uuid::new_v4()), "for nobody")?;
    publisher.send(Recipient::Node(subscriber.id), "for one")?;
    subscriber.expect_control("for one").await?;
    publisher.send(Recipient::All, "for all")?;
    publisher.expect_control("for all").await?;
    if publisher.id != subscriber.id {
        subscriber.expect_control("for all").await?;
    }
    Ok(())
}

async fn it_is_up_until_it_is_closed(publisher: &Node, subscriber: &Node) -> Result<()> {
    for node in [publisher, subscriber] {
        ensure!(node.bus.is_up() && *node.bus.status().borrow() == BusStatus::Up);
        ensure!(node.bus.server().is_some() == (node.bus.name() == "nats"));
    }
    subscriber.subscribe("room").await?;
    publisher.publish("room", "the last words")?;
    publisher.bus.close().await;
    subscriber.expect("room", "the last words").await
}
