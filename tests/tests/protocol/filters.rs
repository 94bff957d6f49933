//! Subscriptions to publications with certain tags only.

use anyhow::{Result, ensure};
use natter_tests::client::Client;
use natter_tests::wire::{Encoding, Transport, Wire};
use serde_json::{Value, json};

use crate::scene::{Scene, connected, settle};

const ROOMS: &str = "rooms: {namespaces: [\
    {name: news, subscribe: anyone, tags_filter: true},\
    {name: kept, subscribe: anyone, tags_filter: true, history: {size: 100, read: anyone}},\
    {name: plain, subscribe: anyone}]}\n";

async fn subscribe(client: &mut Client, channel: &str, more: Value) -> Result<Value> {
    let mut request = json!({ "channel": channel });
    request
        .as_object_mut()
        .into_iter()
        .for_each(|request| request.extend(more.as_object().cloned().unwrap_or_default()));
    client.request(json!({ "subscribe": request })).await
}

fn only(lang: &str) -> Value {
    json!({ "tf": { "key": "lang", "cmp": "eq", "val": lang } })
}

async fn publish(scene: &Scene, channel: &str, data: u32, lang: &str) -> Result<()> {
    let request = json!({ "channel": channel, "data": data, "tags": { "lang": lang } });
    scene.gateway.api("publish", &request).await.map(drop)
}

#[tokio::test]
async fn each_member_gets_what_it_wants() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut members = Vec::new();
    let either = json!({ "tf": { "op": "or", "nodes": [only("en")["tf"], only("de")["tf"]] } });
    for (more, expected) in [
        (only("en"), vec![0, 3]),
        (only("en"), vec![0, 3]),
        (either, vec![0, 1, 3]),
        (json!({}), vec![0, 1, 2, 3, 4]),
    ] {
        let mut client = connected(&scene.gateway).await?;
        subscribe(&mut client, "news:a", more).await?;
        members.push((client, expected));
    }
    for (data, lang) in (0..).zip(["en", "de", "fr", "en"]) {
        publish(&scene, "news:a", data, lang).await?;
    }
    let untagged = json!({ "channel": "news:a", "data": 4 });
    scene.gateway.api("publish", &untagged).await?;
    for (client, expected) in &mut members {
        settle(client).await?;
        let got: Vec<_> = client
            .waiting()
            .filter_map(|value| value["push"]["pub"]["data"].as_u64())
            .collect();
        assert_eq!(got, *expected);
    }
    let metrics = scene.gateway.metrics().await?;
    metrics.balance()?;
    scene.untroubled().await
}

#[tokio::test]
async fn what_was_missed_is_filtered_too() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut client = connected(&scene.gateway).await?;
    let ask = |position: Value| {
        let mut more = only("en");
        more["recoverable"] = json!(true);
        for key in ["recover", "epoch", "offset"] {
            more[key] = position[key].clone();
        }
        more.as_object_mut()
            .into_iter()
            .for_each(|more| more.retain(|_, value| !value.is_null()));
        more
    };
    let joined = subscribe(&mut client, "kept:a", ask(json!({}))).await?;
    client
        .request(json!({ "unsubscribe": { "channel": "kept:a" } }))
        .await?;
    for (data, lang) in (1..).zip(["en", "de", "en", "fr"]) {
        publish(&scene, "kept:a", data, lang).await?;
    }
    let position = json!({ "recover": true, "epoch": joined["subscribe"]["epoch"], "offset": joined["subscribe"]["offset"] });
    let back = subscribe(&mut client, "kept:a", ask(position)).await?;
    ensure!(back["subscribe"]["recovered"] == true, "{back}");
    let data: Vec<_> = back["subscribe"]["publications"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|publication| publication["data"].clone())
        .collect();
    assert_eq!(data, [1, 3]);
    scene.untroubled().await
}

#[tokio::test]
async fn what_is_no_filter_costs_the_subscription_alone() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    let mut client = connected(&scene.gateway).await?;
    let deep = (0..40).fold(
        json!({ "key": "a", "cmp": "ex" }),
        |node, _| json!({ "op": "not", "nodes": [node] }),
    );
    for tf in [
        json!({ "op": "xor", "nodes": [] }),
        json!({ "key": "a", "cmp": "like", "val": "b" }),
        json!({ "key": "a", "cmp": "eq" }),
        json!({ "cmp": "eq", "val": "b" }),
        json!("lang=en"),
        json!({ "key": 7, "cmp": "ex" }),
        deep,
    ] {
        let reply = subscribe(&mut client, "news:a", json!({ "tf": tf })).await?;
        assert_eq!(reply["error"]["code"], 107, "{tf}: {reply}");
    }
    let reply = subscribe(&mut client, "plain:a", only("en")).await?;
    assert_eq!(reply["error"]["code"], 107, "{reply}");
    ensure!(
        reply["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("tags_filter")),
        "{reply}"
    );
    ensure!(
        subscribe(&mut client, "news:a", only("en"))
            .await?
            .get("error")
            .is_none()
    );
    scene.untroubled().await
}

fn is(value: usize) -> Value {
    json!({ "key": "k", "cmp": "eq", "val": value.to_string() })
}

/// Filters with so many nodes, values, bytes of keys and values, or levels.
fn sized(what: &str, count: usize) -> Value {
    let all = |count: usize, item: fn(usize) -> Value| (0..count).map(item).collect::<Vec<_>>();
    match what {
        "nodes" => json!({ "op": "or", "nodes": all(count - 1, is) }),
        "values" => json!({ "key": "k", "cmp": "in", "vals": all(count, |value| json!(value.to_string())) }),
        "bytes" => json!({ "key": "k", "cmp": "ct", "val": "x".repeat(count - 1) }),
        _ => (1..count).fold(is(0), |node, _| json!({ "op": "not", "nodes": [node] })),
    }
}

#[tokio::test]
async fn what_a_filter_may_cost_is_bounded_in_both_encodings() -> Result<()> {
    let scene = Scene::open(ROOMS).await?;
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let gateway = scene.gateway.public();
        let (mut wire, _) = Wire::connect(gateway, Transport::WebSocket, encoding, json!({})).await?;
        // The most that is taken, one more, and more than is read at all.
        for (what, most, far) in [
            ("nodes", 64, 1_200),
            ("values", 256, 5_000),
            ("bytes", 4_096, 60_000),
            ("levels", 16, 200),
        ] {
            let channel = format!("news:{what}");
            for count in [most + 1, far] {
                let tf = sized(what, count);
                let command = json!({ "subscribe": { "channel": channel, "tf": tf } });
                let reply = wire.request(command).await?;
                ensure!(
                    reply["error"]["code"] == 107
                        && reply["error"]["message"]
                            .as_str()
                            .is_some_and(|text| text.starts_with("tf: ")),
                    "{encoding:?}, {count} {what}: {reply}"
                );
            }
            let command = json!({ "subscribe": { "channel": channel, "tf": sized(what, most) } });
            let reply = wire.request(command).await?;
            ensure!(
                reply.get("subscribe").is_some(),
                "{encoding:?}, {most} {what}: {reply}"
            );
        }
        let tagged = json!({ "channel": "news:nodes", "data": 1, "tags": { "k": "62" } });
        scene.gateway.api("publish", &tagged).await?;
        let push = wire.recv_where(|value| value.get("push").is_some()).await?;
        ensure!(push["push"]["pub"]["data"] == 1, "{push}");
    }
    scene.untroubled().await
}
