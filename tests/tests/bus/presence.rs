//! Words about the members of a room travel beside its publications, on both buses, and reach who is in it.

use anyhow::{Result, ensure};
use bytes::Bytes;
use natter_gateway::bus::BusError;
use natter_tests::nats::NatsServer;

use crate::support::{Node, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_reach_the_members_of_a_room_alone_and_in_order() -> Result<()> {
    let server = NatsServer::start().await?;
    let speaker = Node::nats(config(&server.url(), "presence")?).await?;
    let member = Node::nats(config(&server.url(), "presence")?).await?;
    for room in ["a", "a.b"] {
        speaker.subscribe(room).await?;
    }
    member.subscribe("a.b").await?;
    for (room, word) in [("a", "elsewhere"), ("a.b", "first"), ("a.b", "second")] {
        speaker
            .bus
            .announce(room, None, Bytes::from_static(word.as_bytes()))?;
    }
    speaker.publish("a.b", "1")?;
    for expected in ["first", "second"] {
        let (room, from, word) = member.next_word().await?;
        ensure!((room.as_str(), from) == ("a.b", speaker.id), "{room} {from}");
        assert_eq!(word, expected);
    }
    let (room, publication) = member.next().await?;
    assert_eq!(
        (room.as_str(), &publication.data[..]),
        ("a.b", &b"1"[..]),
        "no word is a publication"
    );
    // The own words come back and are nobody's news.
    speaker.next().await?;
    ensure!(speaker.waiting_words().await == 0);
    Ok(())
}

#[tokio::test]
async fn a_bus_that_is_away_says_so() -> Result<()> {
    let server = NatsServer::start().await?;
    let node = Node::nats(config(&server.url(), "presence")?).await?;
    server.kill()?;
    node.wait(natter_gateway::bus::BusStatus::Down).await?;
    let refused = node.bus.announce("a", None, Bytes::from_static(b"word"));
    assert_eq!(refused, Err(BusError::Disconnected));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_one_process_there_is_nobody_else_to_tell() -> Result<()> {
    let node = Node::embedded()?;
    node.subscribe("a").await?;
    node.bus.announce("a", None, Bytes::from_static(b"word"))?;
    ensure!(node.waiting_words().await == 0);
    Ok(())
}
