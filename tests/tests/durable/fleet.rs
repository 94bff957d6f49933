//! Two gateways over one NATS: one order on both, and joins that race with the other gateway's publications.

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{
    Place, assert_recovered, come_back, connect, found, join, newcomer, next, publish, start,
};

async fn pair() -> Result<(NatsServer, Gateway, Gateway)> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let url = nats.url();
    let (one, two) = tokio::try_join!(start("one", Some(&url), ""), start("two", Some(&url), ""))?;
    Ok((nats, one, two))
}

#[tokio::test]
async fn readers_of_both_gateways_hear_one_order() -> Result<()> {
    const EACH: usize = 150;
    let (_nats, one, two) = pair().await?;
    let mut readers = vec![
        newcomer(&one, "log:room").await?.0,
        newcomer(&two, "log:room").await?.0,
    ];
    let mut writers = JoinSet::new();
    for gateway in [&one, &two] {
        let mut client = connect(gateway).await?;
        let commands: Vec<Value> = (1..=EACH)
            .map(|id| json!({ "id": id, "publish": { "channel": "log:room", "data": id } }))
            .collect();
        writers.spawn(async move {
            client.send_batch(&commands).await?;
            for command in &commands {
                let reply = client.recv().await?;
                ensure!(
                    reply["id"] == command["id"] && reply.get("publish").is_some(),
                    "{reply}"
                );
            }
            Ok(())
        });
    }
    let mut heard = Vec::new();
    for reader in &mut readers {
        let mut all = Vec::new();
        for _ in 0..2 * EACH {
            all.push(next(reader).await?);
        }
        heard.push(all);
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    assert!(heard[0].is_sorted_by(|(a, _), (b, _)| a < b));
    assert_eq!(heard[0], heard[1]);

    // A place at one gateway is a place at the other.
    let (epoch, page) = {
        let request = json!({ "channel": "log:room", "limit": -1 });
        let page = two.api("history", &request).await?["result"].clone();
        (page["epoch"].as_str().context("epoch")?.to_owned(), page)
    };
    let offsets: Vec<u64> = heard[0].iter().map(|(offset, _)| *offset).collect();
    assert_eq!(found(&page), offsets);
    let place = Place {
        epoch,
        offset: offsets[EACH],
    };
    for gateway in [&one, &two] {
        let (_client, result) = come_back(gateway, "log:room", &place).await?;
        assert_recovered(&result, &place, &offsets[EACH + 1..]);
    }
    Ok(())
}

/// Publishes numbers into a room until told to stop; gives the place of the last.
async fn publish_until(gateway: &Gateway, room: &str, mut stop: watch::Receiver<bool>) -> Result<Place> {
    let mut number = 0;
    loop {
        let place = publish(gateway, room, number).await?;
        number += 1;
        if *stop.borrow_and_update() {
            return Ok(place);
        }
    }
}

/// One fresh room: after the reply to the join everything stored behind its position arrives.
async fn race(one: &Gateway, two: &Gateway, room: &str) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let reading = async {
        let mut client = connect(one).await?;
        let result = join(&mut client, room, &json!({ "recoverable": true })).await?;
        let mut heard = vec![next(&mut client).await?.0];
        heard.push(next(&mut client).await?.0);
        stop.send_replace(true);
        Ok::<_, anyhow::Error>((client, Place::of(&result)?, heard))
    };
    let ((mut client, place, mut heard), last) =
        tokio::try_join!(reading, publish_until(two, room, stopped))?;
    while heard.last().is_some_and(|offset| *offset < last.offset) {
        heard.push(next(&mut client).await?.0);
    }
    let since = json!({ "epoch": place.epoch, "offset": place.offset });
    let request = json!({ "channel": room, "limit": -1, "since": since });
    let page = one.api("history", &request).await?;
    assert_eq!(found(&page["result"]), heard, "{room}: behind {place:?}");
    Ok(())
}

#[tokio::test]
async fn a_join_racing_with_the_other_gateway_loses_nothing() -> Result<()> {
    let (_nats, one, two) = pair().await?;
    publish(&two, "log:first", 0).await?;
    for some in 0..10 {
        let races: Vec<_> = (0..10)
            .map(|number| format!("log:fresh-{some}-{number}"))
            .collect();
        let races = races.iter().map(|room| race(&one, &two, room));
        futures_util::future::try_join_all(races).await?;
    }
    Ok(())
}
