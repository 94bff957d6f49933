//! Coming back: all that was missed, once and in order, or the plain word that it cannot be had.

use anyhow::{Result, ensure};
use natter_tests::wait::eventually;
use serde_json::json;

use crate::support::{
    LIMIT, Place, World, assert_not_recovered, assert_recovered, come_back, connect, join, newcomer, next,
    offsets, on_both_buses, recover, refusal,
};

on_both_buses!(
    what_was_missed_comes_once_in_order_and_then_live,
    the_limit_is_met_exactly,
    a_place_that_means_nothing_is_not_recovered,
    an_empty_place_is_the_beginning,
    the_room_of_the_suites_keeps_a_hundred,
    a_small_history_recovers_what_it_keeps,
    what_is_at_hand_is_no_more_than_what_is_kept,
    who_wants_all_or_nothing_is_refused,
    a_join_behind_an_unanswered_command_gets_nothing_before_its_reply,
);

async fn what_was_missed_comes_once_in_order_and_then_live(world: &World) -> Result<()> {
    for (room, somebody_stays) in [("log:at-hand", true), ("log:deserted", false)] {
        let (mut client, _) = newcomer(&world.gateway, room).await?;
        let seen = world.publish_all(room, 3).await?;
        assert_eq!(offsets(&mut client, 3).await?, seen);
        let mut stays = None;
        if somebody_stays {
            stays = Some(newcomer(&world.gateway, room).await?.0);
        }
        let place = world.publish(room, "last").await?;
        assert_eq!(next(&mut client).await?, (place.offset, json!("last")));
        drop(client);
        if !somebody_stays {
            world.deserted().await?;
        }
        let (at_hand, read) = (world.reads("memory").await?, world.reads("bus").await?);

        let missed = world.publish_all(room, 5).await?;
        // What is stored is not yet delivered, and what is not delivered comes live.
        if let Some(stays) = &mut stays {
            assert_eq!(offsets(stays, 6).await?[1..], missed);
        }
        let (mut client, result) = come_back(&world.gateway, room, &place).await?;
        assert_recovered(&result, &place, &missed);
        assert_eq!(
            (&result["recoverable"], &result["positioned"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(Place::of(&result)?.epoch, place.epoch);
        let live = world.publish_all(room, 2).await?;
        assert_eq!(offsets(&mut client, 2).await?, live);
        assert_eq!(client.waiting().count(), 0);

        // With nothing missed there is nothing to read.
        drop(client);
        let head = place.at(live[1]);
        let (_client, result) = come_back(&world.gateway, room, &head).await?;
        assert_recovered(&result, &head, &[]);
        let (at_hand, read) = (
            world.reads("memory").await? - at_hand,
            world.reads("bus").await? - read,
        );
        let expected = if somebody_stays { (1, 0) } else { (0, 1) };
        assert_eq!((at_hand, read), expected, "{room}");
        drop(stays);
    }
    assert_eq!(
        (
            world.recoveries("recovered").await?,
            world.recoveries("not_recovered").await?
        ),
        (4, 0)
    );
    Ok(())
}

async fn the_limit_is_met_exactly(world: &World) -> Result<()> {
    for (room, somebody_stays) in [("log:at-hand", true), ("log:deserted", false)] {
        let place = world.publish(room, "first").await?;
        let mut stays = None;
        if somebody_stays {
            stays = Some(newcomer(&world.gateway, room).await?.0);
        }
        let missed = world.fill(room, 300).await?;
        if let Some(client) = &mut stays {
            assert_eq!(offsets(client, missed.len()).await?, missed);
        }
        let (client, result) = come_back(&world.gateway, room, &place).await?;
        assert_recovered(&result, &place, &missed);
        drop(client);
        let one_more = world.publish(room, "one more").await?;
        if let Some(client) = &mut stays {
            assert_eq!(next(client).await?.0, one_more.offset);
        }
        let (mut client, result) = come_back(&world.gateway, room, &place).await?;
        assert_not_recovered(&result, one_more.offset);
        let live = world.publish(room, "live").await?;
        assert_eq!(next(&mut client).await?, (live.offset, json!("live")));
        drop((client, stays));
    }
    Ok(())
}

async fn a_place_that_means_nothing_is_not_recovered(world: &World) -> Result<()> {
    let place = world.publish("log:room", 1).await?;
    let head = world.publish("log:room", 2).await?.offset;
    let elsewhere = Place {
        epoch: "another".to_owned(),
        offset: place.offset,
    };
    for place in [
        elsewhere.clone(),
        elsewhere.at(head),
        elsewhere.at(0),
        place.at(head + 1),
        place.at(u64::MAX),
        place.at((1 << 53) - 1),
    ] {
        let (mut client, result) = come_back(&world.gateway, "log:room", &place).await?;
        assert_not_recovered(&result, head);
        // The client is in the room all the same, at its head.
        assert_eq!(client.waiting().count(), 0);
        let reply = client
            .request(json!({ "unsubscribe": { "channel": "log:room" } }))
            .await?;
        assert!(reply.get("error").is_none());
    }
    assert_eq!(world.recoveries("not_recovered").await?, 6);
    Ok(())
}

async fn an_empty_place_is_the_beginning(world: &World) -> Result<()> {
    let nothing = Place {
        epoch: String::new(),
        offset: 0,
    };
    let (client, result) = come_back(&world.gateway, "log:room", &nothing).await?;
    assert_recovered(&result, &nothing, &[]);
    drop(client);
    let all = world.publish_all("log:room", 4).await?;
    let (_client, result) = come_back(&world.gateway, "log:room", &nothing).await?;
    assert_recovered(&result, &nothing, &all);
    Ok(())
}

/// `100/300 s` with `force_recovery`, the profile of the official client suites.
async fn the_room_of_the_suites_keeps_a_hundred(world: &World) -> Result<()> {
    let mut client = connect(&world.gateway).await?;
    let place = Place::of(&join(&mut client, "recovery:room", &json!({})).await?)?;
    let all = world.publish_all("recovery:room", 10).await?;
    assert_eq!(offsets(&mut client, 10).await?, all);
    if world.nats.is_none() {
        assert_eq!(all, (1..=10).collect::<Vec<_>>());
    }
    drop(client);
    let (_client, result) = come_back(&world.gateway, "recovery:room", &place.at(all[4])).await?;
    assert_recovered(&result, &place.at(all[4]), &all[5..]);
    world.fill("recovery:room", 120).await?;
    let page = world
        .history(json!({ "channel": "recovery:room", "limit": -1 }))
        .await?;
    assert_eq!(page["publications"].as_array().map(Vec::len), Some(100));
    Ok(())
}

/// `smallhistory` of the official client suites: what went is missed, and said so.
async fn a_small_history_recovers_what_it_keeps(world: &World) -> Result<()> {
    let place = world.publish("smallhistory:room", 0).await?;
    let next = world.publish("smallhistory:room", 1).await?;
    let (client, result) = come_back(&world.gateway, "smallhistory:room", &place).await?;
    assert_recovered(&result, &place, &[next.offset]);
    drop(client);
    world.deserted().await?;
    let all = world.publish_all("smallhistory:room", 5).await?;
    let (client, result) = come_back(&world.gateway, "smallhistory:room", &place).await?;
    assert_not_recovered(&result, all[4]);
    drop(client);
    let (_client, result) = come_back(&world.gateway, "smallhistory:room", &place.at(all[3])).await?;
    assert_recovered(&result, &place.at(all[3]), &all[4..]);
    Ok(())
}

/// A room with members has its newest publications at hand, also those that its history has forgotten.
async fn what_is_at_hand_is_no_more_than_what_is_kept(world: &World) -> Result<()> {
    let (mut stays, place) = newcomer(&world.gateway, "smallhistory:room").await?;
    let all = world.publish_all("smallhistory:room", 5).await?;
    assert_eq!(offsets(&mut stays, 5).await?, all);
    for (from, missed) in [(place.offset, None), (all[1], None), (all[2], Some(&all[3..]))] {
        let from = place.at(from);
        let (_client, result) = come_back(&world.gateway, "smallhistory:room", &from).await?;
        match missed {
            Some(missed) => assert_recovered(&result, &from, missed),
            None => assert_not_recovered(&result, all[4]),
        }
    }

    let (mut stays, place) = newcomer(&world.gateway, "short:room").await?;
    let missed = world.publish_all("short:room", 2).await?;
    assert_eq!(offsets(&mut stays, 2).await?, missed);
    eventually("the history is forgotten", LIMIT, async || {
        let page = world
            .history(json!({ "channel": "short:room", "limit": -1 }))
            .await?;
        ensure!(page["publications"] == json!([]), "{page}");
        Ok(())
    })
    .await?;
    let (_client, result) = come_back(&world.gateway, "short:room", &place).await?;
    assert_not_recovered(&result, missed[1]);
    Ok(())
}

/// The SDKs set this flag when the application loads the state by itself (`getState`).
async fn who_wants_all_or_nothing_is_refused(world: &World) -> Result<()> {
    let (mut stays, place) = newcomer(&world.gateway, "smallhistory:room").await?;
    let all = world.publish_all("smallhistory:room", 5).await?;
    assert_eq!(offsets(&mut stays, 5).await?, all);
    let elsewhere = Place {
        epoch: "another".to_owned(),
        offset: all[4],
    };
    let strict = |place: &Place| {
        let mut request = recover(place);
        request["channel"] = "smallhistory:room".into();
        request["flag"] = 2.into();
        request
    };
    let mut client = connect(&world.gateway).await?;
    for lost in [place.clone(), elsewhere, place.at(all[4] + 1)] {
        let code = refusal(&mut client, json!({ "subscribe": strict(&lost) })).await?;
        assert_eq!(code, 112, "{lost:?}");
    }
    assert_eq!(world.recoveries("not_recovered").await?, 3);
    // Behind a command that is not answered yet it is no different.
    client
        .send_batch(&[
            json!({ "id": 100, "subscribe": { "channel": "log:fresh" } }),
            json!({ "id": 101, "subscribe": strict(&place) }),
        ])
        .await?;
    let reply = client.recv_where(|value| value["id"] == 100).await?;
    assert!(reply.get("subscribe").is_some(), "{reply}");
    let reply = client.recv().await?;
    assert_eq!(
        (&reply["id"], &reply["error"]["code"]),
        (&json!(101), &json!(112))
    );
    // It is not in the room: the next that it hears is said after its return.
    let newest = world.publish("smallhistory:room", "missed").await?;
    assert_eq!(next(&mut stays).await?.0, newest.offset);
    // What can be recovered is, and who does not recover is let in.
    let from = place.at(newest.offset);
    let result = join(&mut client, "smallhistory:room", &strict(&from)).await?;
    assert_recovered(&result, &from, &[]);
    let mut other = connect(&world.gateway).await?;
    let result = join(&mut other, "smallhistory:room", &json!({ "flag": 2 })).await?;
    assert_eq!(result["offset"], newest.offset, "{result}");
    let live = world.publish("smallhistory:room", "live").await?;
    for client in [&mut client, &mut other] {
        assert_eq!(next(client).await?, (live.offset, json!("live")));
    }
    // A cache always has something to bring.
    let lost = json!({ "flag": 2, "recover": true, "recoverable": true, "epoch": "another", "offset": 7 });
    let result = join(&mut client, "cache:room", &lost).await?;
    assert_not_recovered(&result, 0);
    Ok(())
}

/// Replies keep the order of commands, and a reader's publications keep theirs: a join whose reply has to wait for an
/// earlier one must not be overtaken by what is said in its room.
async fn a_join_behind_an_unanswered_command_gets_nothing_before_its_reply(world: &World) -> Result<()> {
    let (mut stays, place) = newcomer(&world.gateway, "log:room").await?;
    let missed = world.publish_all("log:room", 3).await?;
    assert_eq!(offsets(&mut stays, 3).await?, missed);
    let mut client = connect(&world.gateway).await?;
    let mut commands = Vec::new();
    for number in 0..40 {
        // A room that nobody is in has to be joined at the bus first.
        commands
            .push(json!({ "id": 100 + number, "subscribe": { "channel": format!("log:other-{number}") } }));
    }
    let mut join = recover(&place);
    join["channel"] = "log:room".into();
    commands.push(json!({ "id": 1000, "subscribe": join }));
    for number in 0..40 {
        let publish = json!({ "channel": "log:room", "data": number });
        commands.push(json!({ "id": 2000 + number, "publish": publish }));
    }
    client.send_batch(&commands).await?;
    let mut seen = Vec::new();
    loop {
        let value = client.recv().await?;
        if value["id"] == 1000 {
            assert_eq!(seen, [0; 0], "publications came before the reply");
            assert_recovered(&value["subscribe"], &place, &missed);
            break;
        }
        if value["push"]["channel"] == "log:room" {
            seen.push(value["push"]["pub"]["offset"].as_u64().unwrap_or(0));
        }
    }
    let live = offsets(&mut client, 40).await?;
    assert!(live.is_sorted_by(|a, b| a < b) && live[0] > missed[2], "{live:?}");
    Ok(())
}
