//! Streams with other settings than the configuration has: edited by hand under running gateways, made by an administrator, or
//! by a former configuration.

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use crate::streams::{ask, edit};
use crate::support::{
    LIMIT, World, assert_not_recovered, assert_recovered, come_back, connect, found, newcomer, next, publish,
    refusal, start,
};

async fn wait_settings(nats: &NatsServer, namespace: &str, settings: &Value) -> Result<()> {
    eventually("the stream is as it was", LIMIT, async || {
        let config = ask(nats, "INFO", namespace, &Value::Null).await?["config"].take();
        ensure!(config == *settings, "{config}");
        Ok(())
    })
    .await
}

/// What `/readyz` says is wrong with a namespace; null when nothing is.
async fn problem(gateway: &Gateway, namespace: &str) -> Result<Value> {
    let (status, body) = gateway.ready().await?;
    ensure!(status == 200, "other rooms work: {body}");
    let report: Value = serde_json::from_str(&body)?;
    Ok(report["namespaces"][namespace].clone())
}

async fn wait_problem(gateway: &Gateway, namespace: &str, part: &str) -> Result<()> {
    eventually(&format!("{part:?} is said of {namespace}"), LIMIT, async || {
        let problem = problem(gateway, namespace).await?;
        let found = problem.as_str().unwrap_or("nothing");
        ensure!(found.contains(part), "{found}");
        Ok(())
    })
    .await
}

/// Whatever is acknowledged meanwhile is heard, and the settings are what the configuration says.
#[tokio::test]
async fn a_stream_that_is_edited_is_set_right_and_nobody_misses_anything() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let other = start("other", Some(&nats.url()), "").await?;
    let (mut member, place) = newcomer(&world.gateway, "log:room").await?;
    let (mut far_member, _) = newcomer(&other, "log:room").await?;
    let mut acknowledged = Vec::new();
    for changes in [
        json!({ "republish": null }),
        json!({ "republish": { "src": ">", "dest": "elsewhere.>" } }),
        json!({ "subjects": ["elsewhere.>"], "republish": null }),
        json!({ "allow_direct": false }),
        json!({ "max_msgs_per_subject": 1_000_000 }),
        json!({ "discard": "new", "max_bytes": 1 }),
        json!({ "duplicate_window": 100_000_000 }),
        json!({ "no_ack": true }),
        json!({ "metadata": {} }),
    ] {
        let before = edit(nats, "log", &changes).await?;
        let (now, later) = (publish(&world.gateway, "log:room", "now").await, {
            wait_settings(nats, "log", &before).await?;
            publish(&other, "log:room", "later").await?
        });
        // Without subjects or acknowledgements nothing is acknowledged.
        acknowledged.extend(now.iter().map(|place| place.offset));
        acknowledged.push(later.offset);
        for client in [&mut member, &mut far_member] {
            let mut heard = 0;
            while heard < later.offset {
                heard = next(client).await?.0;
            }
        }
    }
    let (_client, result) = come_back(&world.gateway, "log:room", &place).await?;
    assert_eq!(result["recovered"], true, "{result}");
    let kept = found(&result);
    assert!(
        acknowledged.iter().all(|offset| kept.contains(offset)),
        "{acknowledged:?} in {kept:?}"
    );
    for gateway in [&world.gateway, &other] {
        assert_eq!(problem(gateway, "log").await?, Value::Null);
    }
    Ok(())
}

/// What is stored under another name meanwhile is lost to its room: the acknowledgement does not tell.
#[tokio::test]
async fn a_stream_that_renames_is_set_right() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let (mut member, _) = newcomer(&world.gateway, "log:room").await?;
    let renaming = json!({ "src": "durable.msg.log.0.*", "dest": "durable.msg.log.0.x.{{wildcard(1)}}" });
    let before = edit(nats, "log", &json!({ "subject_transform": renaming })).await?;
    wait_settings(nats, "log", &before).await?;
    let stored = world.publish("log:room", 1).await?;
    assert_eq!(next(&mut member).await?, (stored.offset, json!(1)));
    Ok(())
}

/// What a lowered limit has taken cannot come back; who counts on it is told.
#[tokio::test]
async fn what_a_lowered_limit_took_is_said_to_be_gone() -> Result<()> {
    let world = World::nats("").await?;
    let nats = world.nats.as_ref().context("NATS")?;
    let (mut member, place) = newcomer(&world.gateway, "log:room").await?;
    let all = world.fill("log:room", 20).await?;
    for offset in &all {
        assert_eq!(next(&mut member).await?.0, *offset);
    }
    drop(member);
    world.deserted().await?;
    let before = edit(nats, "log", &json!({ "max_msgs": 5 })).await?;
    wait_settings(nats, "log", &before).await?;
    let live = world.publish("log:room", "live").await?;
    for from in [&place, &place.at(all[3])] {
        let (_client, result) = come_back(&world.gateway, "log:room", from).await?;
        assert_not_recovered(&result, live.offset);
    }
    let (_client, result) = come_back(&world.gateway, "log:room", &place.at(all[17])).await?;
    assert_recovered(&result, &place.at(all[17]), &[all[18], all[19], live.offset]);
    Ok(())
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_and_named() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let namespace = |partitions: &str| {
        format!(
            "    - {{ name: split, subscribe: anyone, publish: anyone, history: {{ read: anyone, stream: {{ partitions: {partitions} }} }} }}\n"
        )
    };
    let first = start("first", Some(&nats.url()), &namespace("2")).await?;
    let stored = publish(&first, "split:room", 1).await?;
    let second = start("second", Some(&nats.url()), &namespace("4")).await?;
    let option = "rooms.namespaces[split].history.stream.partitions is 4";
    wait_problem(&second, "split", option).await?;
    second
        .wait_log(
            |line| line.message() == "a durable namespace cannot be used",
            LIMIT,
        )
        .await?;
    let ready = ("natter_streams_ready", [("room_namespace", "split")]);
    assert_eq!(second.metrics().await?.value(ready.0, &ready.1), Some(0.0));
    let mut client = connect(&second).await?;
    for command in [
        json!({ "publish": { "channel": "split:room", "data": 1 } }),
        json!({ "subscribe": { "channel": "split:room" } }),
    ] {
        assert_eq!(refusal(&mut client, command).await?, 100);
    }
    publish(&second, "log:room", "other rooms work").await?;
    // The way back: the number that was.
    let third = start("third", Some(&nats.url()), &namespace("2")).await?;
    let again = publish(&third, "split:room", 2).await?;
    assert_eq!(again.epoch, stored.epoch);
    assert_eq!(problem(&third, "split").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn an_administrators_stream_is_checked_and_never_changed() -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let more = "    - { name: own, subscribe: anyone, publish: anyone, history: { read: anyone, stream: { managed: false, partitions: 1 } } }\n";
    let gateway = start("checking", Some(&nats.url()), more).await?;
    wait_problem(&gateway, "own", "stream durable_own_0 does not exist").await?;
    let mut config = json!({
        "name": "durable_own_0", "subjects": ["durable.msg.own.0.>"], "retention": "limits", "storage": "file",
        "num_replicas": 1, "duplicate_window": 300_000_000_000_u64,
        "republish": { "src": "durable.msg.own.0.>", "dest": "durable.live.own.0.>" },
    });
    ask(&nats, "CREATE", "own", &config).await?;
    wait_problem(&gateway, "own", "allow_direct is").await?;
    config["allow_direct"] = true.into();
    ask(&nats, "UPDATE", "own", &config).await?;
    let works = eventually("publications are stored", LIMIT, async || {
        publish(&gateway, "own:room", 1).await
    })
    .await?;
    let (mut member, _) = newcomer(&gateway, "own:room").await?;

    let before = edit(&nats, "own", &json!({ "republish": null })).await?;
    wait_problem(&gateway, "own", "republish is missing").await?;
    let config = ask(&nats, "INFO", "own", &Value::Null).await?;
    assert_eq!(config["config"].get("republish"), None, "left as it is");
    let unheard = publish(&gateway, "own:room", "stored all the same").await?;
    ask(&nats, "UPDATE", "own", &before).await?;
    eventually("all is well", LIMIT, async || {
        let problem = problem(&gateway, "own").await?;
        ensure!(problem.is_null(), "{problem}");
        Ok(())
    })
    .await?;
    assert_eq!(next(&mut member).await?.0, unheard.offset);
    assert!(works.offset < unheard.offset);
    Ok(())
}
