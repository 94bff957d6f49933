//! What clients say, which a backend may change or refuse.

use anyhow::{Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

use super::beside;
use crate::scene::{connected, member, settle};

const ROOMS: &str = "rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces:
  - {name: judged, subscribe: anyone, publish: anyone, publish_proxy: backend}
  - {name: inside, subscribe: anyone, publish: subscribers, publish_proxy: backend}
  - {name: kept, subscribe: anyone, publish: anyone, publish_proxy: backend, history: {}}
";

fn publish(id: u32, channel: &str, data: impl Into<Value>) -> Value {
    json!({ "id": id, "publish": { "channel": channel, "data": data.into() } })
}

async fn scene() -> Result<(Backend, Gateway)> {
    let backend = Backend::start().await?;
    let gateway = beside(&backend, "", ROOMS).await?;
    Ok((backend, gateway))
}

async fn said(client: &mut Client) -> Result<Value> {
    Ok(client.push().await?["pub"]["data"].take())
}

#[tokio::test]
async fn what_is_said_is_permitted_changed_or_refused() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut reader = member(&gateway, "judged:room").await?;
    let mut writer = connected(&gateway).await?;
    for (answer, data) in [
        (json!({ "result": {} }), json!("raw")),
        (
            json!({ "result": { "data": { "changed": true } } }),
            json!({ "changed": true }),
        ),
        (json!({ "result": { "b64data": "WzFd" } }), json!([1])),
    ] {
        writer.send(&publish(5, "judged:room", "raw")).await?;
        let asked = backend.asked().await?;
        ensure!(
            asked.body["channel"] == "judged:room" && asked.body["data"] == "raw",
            "{}",
            asked.body
        );
        asked.answer(&answer)?;
        assert_eq!(writer.recv().await?, json!({ "id": 5, "publish": {} }));
        assert_eq!(said(&mut reader).await?, data);
    }
    writer.send(&publish(6, "judged:room", "bad")).await?;
    backend
        .asked()
        .await?
        .answer(&json!({ "error": { "code": 700, "message": "rude" } }))?;
    let reply = writer.recv().await?;
    assert_eq!(
        reply,
        json!({ "id": 6, "error": { "code": 700, "message": "rude" } })
    );
    writer.send(&publish(7, "judged:room", "worse")).await?;
    let disconnect = json!({ "disconnect": { "code": 4700, "reason": "too rude" } });
    backend.asked().await?.answer(&disconnect)?;
    assert_eq!(writer.close_frame().await?, (4700, "too rude".to_owned()));
    settle(&mut reader).await?;
    ensure!(reader.waiting().next().is_none(), "what was refused was said");
    let metrics = gateway.metrics().await?;
    let refused = metrics.value("natter_publications_refused_total", &[("reason", "proxy")]);
    assert_eq!(refused, Some(2.0));
    metrics.balance()
}

#[tokio::test]
async fn messages_of_one_client_keep_their_order() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut reader = member(&gateway, "judged:room").await?;
    let mut writer = connected(&gateway).await?;
    let batch: Vec<_> = (1..=5)
        .map(|number| publish(number + 10, "judged:room", number))
        .collect();
    writer.send_batch(&batch).await?;
    // Rooms that nobody judges are not held up, but answered behind.
    writer.send(&publish(20, "free", 0)).await?;
    for number in 1..=5 {
        let asked = backend.asked().await?;
        ensure!(asked.body["data"] == number && !backend.is_asked(), "one by one");
        asked.result(&json!({}))?;
        assert_eq!(said(&mut reader).await?, number);
    }
    for id in (11..=15).chain([20]) {
        assert_eq!(writer.recv().await?["id"], id);
    }
    Ok(())
}

#[tokio::test]
async fn the_policy_of_the_room_goes_first() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut stranger = connected(&gateway).await?;
    let reply = stranger
        .request(json!({ "publish": { "channel": "inside:room", "data": 1 } }))
        .await?;
    ensure!(reply["error"]["code"] == 103 && !backend.is_asked(), "{reply}");
    // What is said while the room is joined is judged too, as a member's.
    let mut client = connected(&gateway).await?;
    client
        .send_batch(&[
            json!({ "id": 5, "subscribe": { "channel": "inside:room" } }),
            publish(6, "inside:room", "first"),
            json!({ "id": 7, "unsubscribe": { "channel": "inside:room" } }),
        ])
        .await?;
    backend.asked().await?.result(&json!({ "data": "judged" }))?;
    for id in 5..=7 {
        let reply = client.recv_where(|value| value.get("id").is_some()).await?;
        ensure!(reply["id"] == id && reply.get("error").is_none(), "{reply}");
    }
    Ok(())
}

#[tokio::test]
async fn a_durable_room_keeps_what_the_backend_made_of_it() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    client.send(&publish(5, "kept:room", "raw")).await?;
    backend.asked().await?.result(&json!({ "data": "kept" }))?;
    assert_eq!(client.recv().await?, json!({ "id": 5, "publish": {} }));
    client.send(&publish(6, "kept:room", "gone")).await?;
    backend.asked().await?.result(&json!({ "skip_history": true }))?;
    assert_eq!(client.recv().await?["error"]["code"], 108);
    let page = gateway
        .api("history", &json!({ "channel": "kept:room", "limit": 10 }))
        .await?;
    let kept = &page["result"]["publications"];
    ensure!(
        kept.as_array().is_some_and(|kept| kept.len() == 1) && kept[0]["data"] == "kept",
        "{page}"
    );
    gateway.metrics().await?.balance()
}

#[tokio::test]
async fn a_writer_that_leaves_takes_back_what_is_not_judged() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut reader = member(&gateway, "judged:room").await?;
    let mut writer = connected(&gateway).await?;
    writer
        .send_batch(&[publish(5, "judged:room", 1), publish(6, "judged:room", 2)])
        .await?;
    let asked = backend.asked().await?;
    drop(writer);
    asked.given_up().await?;
    settle(&mut reader).await?;
    ensure!(reader.waiting().next().is_none() && !backend.is_asked());
    gateway.metrics().await?.balance()
}
