//! Everybody drops at once and comes back: a handful of reads serves them all.

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::support::{World, assert_recovered, come_back, newcomer, next, on_both_buses};

on_both_buses!(
    a_thousand_come_back_at_the_cost_of_a_few_reads,
    a_thousand_find_the_newest_at_the_cost_of_a_few_reads,
);

const CLIENTS: usize = 1_000;
/// Come at once, as far as one machine can make them.
const AT_ONCE: usize = 100;
const ROOM: &str = "log:crowd";

async fn a_thousand_come_back_at_the_cost_of_a_few_reads(world: &World) -> Result<()> {
    let mut crowd = Vec::new();
    while crowd.len() < CLIENTS {
        let some = (0..AT_ONCE).map(|_| newcomer(&world.gateway, ROOM));
        crowd.extend(futures_util::future::try_join_all(some).await?);
    }
    let place = world.publish(ROOM, "all hear this").await?;
    for (client, _) in &mut crowd {
        assert_eq!(next(client).await?.0, place.offset);
    }
    drop(crowd);
    world.deserted().await?;
    let missed = world.publish_all(ROOM, 20).await?;

    // They had heard more or less of it: not everybody asks for the same.
    let mut back = JoinSet::new();
    let mut held = Vec::new();
    for number in 0..CLIENTS {
        let had = number % 10;
        let from = had
            .checked_sub(1)
            .map_or(place.clone(), |last| place.at(missed[last]));
        let url = world.gateway.ws_url();
        let rest = missed[had..].to_vec();
        back.spawn(async move {
            let (mut client, _) =
                natter_tests::client::Client::connected(&url, serde_json::json!({})).await?;
            let result = crate::support::join(&mut client, ROOM, &crate::support::recover(&from)).await?;
            ensure!(result["recovered"] == true, "{result}");
            assert_recovered(&result, &from, &rest);
            Ok(client)
        });
        if back.len() == AT_ONCE {
            held.extend(back.join_next().await.transpose()?.transpose()?);
        }
    }
    while let Some(client) = back.join_next().await {
        held.push(client??);
    }
    let (read, at_hand) = (world.reads("bus").await?, world.reads("memory").await?);
    assert!(
        (1..=30).contains(&read),
        "{read} reads of the bus, {at_hand} at hand"
    );
    assert_eq!(world.recoveries("recovered").await?, CLIENTS);
    let live = world.publish(ROOM, "live").await?;
    for client in &mut held {
        assert_eq!(next(client).await?.0, live.offset);
    }
    // One who comes last finds it all at hand.
    let (_client, result) = come_back(&world.gateway, ROOM, &place.at(missed[19])).await?;
    assert_recovered(&result, &place.at(missed[19]), &[live.offset]);
    assert_eq!(world.reads("bus").await?, read);
    Ok(())
}

/// A room that carries a state: whatever they had, all want the same.
async fn a_thousand_find_the_newest_at_the_cost_of_a_few_reads(world: &World) -> Result<()> {
    const STATE: &str = "cache:crowd";
    let all = world.publish_all(STATE, 10).await?;
    let head = world.publish(STATE, "newest").await?;
    let mut back = JoinSet::new();
    let mut joined = Vec::new();
    for number in 0..CLIENTS {
        let (url, place, newest) = (world.gateway.ws_url(), head.at(all[number % 10]), head.offset);
        back.spawn(async move {
            let (mut client, _) =
                natter_tests::client::Client::connected(&url, serde_json::json!({})).await?;
            let result = crate::support::join(&mut client, STATE, &crate::support::recover(&place)).await?;
            ensure!(result["recovered"] == true, "{result}");
            ensure!(crate::support::found(&result) == [newest], "{result}");
            Ok(client)
        });
        if back.len() == AT_ONCE {
            joined.extend(back.join_next().await.transpose()?.transpose()?);
        }
    }
    while let Some(client) = back.join_next().await {
        joined.push(client??);
    }
    let (read, at_hand) = (world.reads("bus").await?, world.reads("memory").await?);
    assert!(
        (1..=10).contains(&read),
        "{read} reads of the bus, {at_hand} at hand"
    );
    assert_eq!(world.recoveries("recovered").await?, CLIENTS);
    let live = world.publish(STATE, "live").await?;
    for client in &mut joined {
        assert_eq!(next(client).await?.0, live.offset);
    }
    Ok(())
}
