//! Publishing into durable rooms: answered when stored, heard once, in one order; and the same message twice.

use anyhow::{Context, Result, bail, ensure};
use natter_tests::gateway::{API_KEY, Gateway};
use natter_tests::nats::NatsServer;
use natter_tests::proxy::Proxy;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    LIMIT, World, connect, found, join, newcomer, next, offsets, on_both_buses, publish, refusal,
};

on_both_buses!(
    an_answer_means_stored_and_the_own_message_comes_once,
    one_order_for_all_readers,
    a_key_stores_once_through_every_door,
    a_key_is_scoped_to_its_room_and_bounded,
    a_key_whose_message_went_is_refused_another_body,
    a_slow_reader_gets_it_all_when_it_is_back,
);

/// The first messages of a namespace too, whose streams are made only then.
async fn an_answer_means_stored_and_the_own_message_comes_once(world: &World) -> Result<()> {
    let mut client = connect(&world.gateway).await?;
    let mut commands = vec![json!({ "id": 1_000, "subscribe": { "channel": "log:room" } })];
    for number in 0..50 {
        let publish = json!({ "channel": "log:room", "data": number });
        commands.push(json!({ "id": number + 1, "publish": publish }));
    }
    client.send_batch(&commands).await?;
    for number in 0..50 {
        let reply = client.recv_where(|value| value["id"] == number + 1).await?;
        ensure!(reply.get("publish").is_some(), "{reply}");
    }
    let page = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    let stored = page["publications"].as_array().context("publications")?;
    let numbers: Vec<_> = stored.iter().map(|publication| &publication["data"]).collect();
    assert_eq!(
        numbers,
        (0..50)
            .map(Value::from)
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>()
    );
    for expected in 0..50 {
        assert_eq!(next(&mut client).await?.1, expected);
    }
    let last = world.publish("log:room", "last").await?;
    assert_eq!(
        next(&mut client).await?,
        (last.offset, json!("last")),
        "each came once"
    );
    Ok(())
}

async fn one_order_for_all_readers(world: &World) -> Result<()> {
    const WRITERS: usize = 4;
    const EACH: usize = 50;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(newcomer(&world.gateway, "log:room").await?.0);
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let mut client = connect(&world.gateway).await?;
        writers.spawn(async move {
            for number in 0..EACH {
                let publish = json!({ "channel": "log:room", "data": [writer, number] });
                let reply = client.request(json!({ "publish": publish })).await?;
                ensure!(reply.get("publish").is_some(), "{reply}");
            }
            Ok(())
        });
    }
    let mut heard = Vec::new();
    for reader in &mut readers {
        let mut all = Vec::new();
        for _ in 0..WRITERS * EACH {
            all.push(next(reader).await?);
        }
        heard.push(all);
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    assert!(heard[0].is_sorted_by(|(a, _), (b, _)| a < b));
    assert!(
        heard.iter().all(|other| *other == heard[0]),
        "one order for everybody"
    );
    for writer in 0..WRITERS {
        let own = heard[0].iter().filter(|(_, data)| data[0] == writer);
        assert!(
            own.enumerate().all(|(number, (_, data))| data[1] == number),
            "the writer's own order"
        );
    }
    if world.nats.is_none() {
        assert!(
            heard[0]
                .iter()
                .map(|(offset, _)| *offset)
                .eq(1..=(WRITERS * EACH) as u64)
        );
    }
    let page = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    assert_eq!(
        found(&page),
        heard[0].iter().map(|(offset, _)| *offset).collect::<Vec<_>>()
    );
    Ok(())
}

/// Status and body of a REST publication.
async fn post(world: &World, room: &str, key: &str, data: Value) -> Result<(u16, Value)> {
    let url = format!("{}/v1/rooms/{room}/messages", world.gateway.http_url());
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let request = http
        .post(url)
        .header("x-api-key", API_KEY)
        .header("idempotency-key", key);
    let response = request.body(json!({ "data": data }).to_string()).send().await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_str(&response.text().await?)?))
}

fn by_api(room: &str, key: &str, data: &Value) -> Value {
    json!({ "channel": room, "data": data, "idempotency_key": key })
}

async fn a_key_stores_once_through_every_door(world: &World) -> Result<()> {
    let (mut client, _) = newcomer(&world.gateway, "log:room").await?;
    let data = json!({ "order": 1 });
    let command = json!({ "publish": by_api("log:room", "key", &data) });
    for _ in 0..2 {
        let reply = client.request(command.clone()).await?;
        ensure!(reply.get("publish").is_some(), "{reply}");
    }
    let (first, heard) = next(&mut client).await?;
    assert_eq!(heard, data);
    let answer = world
        .gateway
        .api("publish", &by_api("log:room", "key", &data))
        .await?;
    assert_eq!(answer["result"]["offset"], first, "{answer}");
    let (status, body) = post(world, "log:room", "key", data.clone()).await?;
    assert_eq!((status, &body["offset"]), (200, &json!(first)));

    let other = json!({ "order": 2 });
    assert_eq!(
        refusal(
            &mut client,
            json!({ "publish": by_api("log:room", "key", &other) })
        )
        .await?,
        107
    );
    let answer = world
        .gateway
        .api("publish", &by_api("log:room", "key", &other))
        .await?;
    assert_eq!(answer["error"]["code"], 107, "{answer}");
    let (status, body) = post(world, "log:room", "key", other).await?;
    assert_eq!((status, &body["error"]["code"]), (409, &json!(107)));

    // Refused and repeated messages were neither kept nor heard.
    let last = world.publish("log:room", "last").await?;
    assert_eq!(next(&mut client).await?, (last.offset, json!("last")));
    let page = world
        .history(json!({ "channel": "log:room", "limit": -1 }))
        .await?;
    assert_eq!(found(&page), [first, last.offset]);
    Ok(())
}

async fn a_key_is_scoped_to_its_room_and_bounded(world: &World) -> Result<()> {
    let mut client = connect(&world.gateway).await?;
    let longest = "k".repeat(10 * 1024);
    for room in ["log:a", "log:b"] {
        let command = json!({ "publish": by_api(room, &longest, &json!(room)) });
        for _ in 0..2 {
            let reply = client.request(command.clone()).await?;
            ensure!(reply.get("publish").is_some(), "{reply}");
        }
        let answer = world
            .gateway
            .api("publish", &by_api(room, &longest, &json!(room)))
            .await?;
        let (status, body) = post(world, room, &longest, json!(room)).await?;
        assert_eq!((status, &body), (200, &answer["result"]));
        let page = world.history(json!({ "channel": room, "limit": -1 })).await?;
        assert_eq!(
            found(&page),
            [answer["result"]["offset"].as_u64().context("offset")?]
        );
    }
    let longer = longest + "k";
    assert_eq!(
        refusal(
            &mut client,
            json!({ "publish": by_api("log:a", &longer, &json!(1)) })
        )
        .await?,
        107
    );
    let answer = world
        .gateway
        .api("publish", &by_api("log:a", &longer, &json!(1)))
        .await?;
    assert_eq!(answer["error"]["code"], 107);
    assert_eq!(post(world, "log:a", &longer, json!(1)).await?.0, 400);
    // In an ephemeral room it means nothing.
    join(&mut client, "lobby", &json!({})).await?;
    for _ in 0..2 {
        client
            .request(json!({ "publish": by_api("lobby", "key", &json!(1)) }))
            .await?;
        assert_eq!(client.push().await?["pub"]["data"], 1);
    }
    Ok(())
}

/// What the gateway stored itself it still knows when the room has forgotten it.
async fn a_key_whose_message_went_is_refused_another_body(world: &World) -> Result<()> {
    let (status, first) = post(world, "smallhistory:room", "key", json!("one")).await?;
    assert_eq!(status, 201, "{first}");
    let rest = world.publish_all("smallhistory:room", 3).await?;
    let page = world
        .history(json!({ "channel": "smallhistory:room", "limit": -1 }))
        .await?;
    assert_eq!(found(&page), rest[1..], "the first is gone");
    let (status, body) = post(world, "smallhistory:room", "key", json!("two")).await?;
    assert_eq!((status, &body["error"]["code"]), (409, &json!(107)), "{body}");
    let (status, body) = post(world, "smallhistory:room", "key", json!("one")).await?;
    assert_eq!((status, &body), (200, &first));
    Ok(())
}

/// Far more rooms than the bus takes at once, while it answers nothing for a moment.
#[tokio::test]
async fn a_broadcast_reaches_every_room_that_it_may_name() -> Result<()> {
    const UNANSWERED: f64 = 512.0;
    let nats = NatsServer::builder().jetstream().start().await?;
    let link = Proxy::to_port(nats.port()).await?;
    // Longer than one machine takes for ten thousand writes, whatever else it does.
    let config = format!(
        "api: {{ keys: [{API_KEY}] }}
http: {{ request_timeout: 60s }}
bus: {{ nats: {{ servers: ['nats://{}'], store_timeout: 60s }} }}
rooms: {{ namespaces: [{{ name: log, subscribe: anyone, history: {{}} }}] }}\n",
        link.address()
    );
    let gateway = Gateway::builder().config(&config).start().await?;
    eventually("the first message is stored", LIMIT, async || {
        publish(&gateway, "log:first", 1).await
    })
    .await?;
    let offered = async || -> Result<f64> {
        let metrics = gateway.metrics().await?;
        Ok(metrics.sum("natter_publications_offered_total"))
    };
    let before = offered().await?;

    link.pause();
    let rooms: Vec<_> = (0..10_000).map(|room| format!("log:{room}")).collect();
    let all = tokio::spawn(broadcast(gateway.http_url(), rooms.clone()));
    eventually("it waits for answers", LIMIT, async || {
        let now = offered().await? - before;
        ensure!(now > UNANSWERED - 0.5, "{now}");
        Ok(())
    })
    .await?;
    for _ in 0..5 {
        let now = offered().await? - before;
        ensure!(now < UNANSWERED + 0.5, "{now} are under way");
    }
    link.resume();
    let first = all.await??;
    // Where a key was seen nothing is stored, and the answers are the same.
    let again = broadcast(gateway.http_url(), rooms[..1_000].to_vec()).await?;
    assert_eq!(again, first[..1_000]);
    Ok(())
}

/// The positions that the rooms answered.
async fn broadcast(gateway: String, rooms: Vec<String>) -> Result<Vec<Value>> {
    let http = reqwest::Client::builder().no_proxy().timeout(4 * LIMIT).build()?;
    let request = http
        .post(format!("{gateway}/api/broadcast"))
        .header("x-api-key", API_KEY)
        .body(json!({ "channels": rooms, "data": "x", "idempotency_key": "all" }).to_string());
    let mut answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
    let Value::Array(responses) = answer["result"]["responses"].take() else {
        bail!("no responses: {answer}");
    };
    ensure!(responses.len() == rooms.len(), "{} responses", responses.len());
    let mut refused = responses
        .iter()
        .filter(|response| !response["result"]["offset"].is_u64());
    if let Some(first) = refused.next() {
        bail!("{} were refused: {first}", refused.count() + 1);
    }
    Ok(responses)
}

/// A burst larger than the reader's queue and the kernel's buffers ends the connection, not the conversation.
async fn a_slow_reader_gets_it_all_when_it_is_back(world: &World) -> Result<()> {
    const MOST: usize = 250;
    let (mut slow, place) = newcomer(&world.gateway, "log:room").await?;
    let mut sent = Vec::new();
    let data = "x".repeat(60 * 1024);
    loop {
        sent.push(publish(&world.gateway, "log:room", data.clone()).await?.offset);
        let metrics = world.gateway.metrics().await?;
        let cut = metrics.value("natter_disconnects_total", &[("reason", "slow")]);
        if cut.is_some_and(|cut| cut > 0.5) {
            break;
        }
        ensure!(sent.len() < MOST, "a reader that takes nothing is not cut");
    }
    let (code, _) = slow.close_frame().await?;
    assert_eq!(code, 3008);
    let got: Vec<u64> = slow
        .waiting()
        .filter_map(|value| value["push"]["pub"]["offset"].as_u64())
        .collect();
    assert!(
        got.len() < sent.len() && sent.starts_with(&got),
        "{} came in order",
        got.len()
    );
    let place = place.at(got.last().copied().unwrap_or(place.offset));
    let (mut back, result) = crate::support::come_back(&world.gateway, "log:room", &place).await?;
    crate::support::assert_recovered(&result, &place, &sent[got.len()..]);
    let live = world.publish_all("log:room", 2).await?;
    assert_eq!(offsets(&mut back, 2).await?, live);
    Ok(())
}
