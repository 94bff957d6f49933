//! Joins that a backend judges.

use anyhow::{Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

use super::beside;
use crate::scene::{connected, settle};

const ROOMS: &str = "client: {channel_limit: 3}
rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces:
  - {name: judged, subscribe: anyone, publish: subscribers, subscribe_proxy: backend}
  - {name: users, subscribe: users, publish: anyone, subscribe_proxy: backend}
  - {name: kept, subscribe: anyone, publish: anyone, subscribe_proxy: backend, history: {}}
";

async fn scene() -> Result<(Backend, Gateway)> {
    let backend = Backend::start().await?;
    let gateway = beside(&backend, "", ROOMS).await?;
    Ok((backend, gateway))
}

fn subscribe(id: u32, channel: &str) -> Value {
    json!({ "id": id, "subscribe": { "channel": channel, "data": { "key": 1 }, "token": "of the client" } })
}

fn publish(id: u32, channel: &str, data: &str) -> Value {
    json!({ "id": id, "publish": { "channel": channel, "data": data } })
}

#[tokio::test]
async fn a_join_is_permitted_with_what_the_backend_says() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    client.send(&subscribe(5, "judged:room")).await?;
    let asked = backend.asked().await?;
    let body = &asked.body;
    ensure!(
        body["channel"] == "judged:room"
            && body["data"] == json!({ "key": 1 })
            && body["token"] == "of the client",
        "{body}"
    );
    asked.result(&json!({ "data": { "welcome": true }, "info": { "role": "guest" } }))?;
    let reply = client.recv().await?;
    assert_eq!(
        reply,
        json!({ "id": 5, "subscribe": { "data": { "welcome": true } } })
    );
    client.send(&publish(6, "judged:room", "hello")).await?;
    let push = client.push().await?;
    ensure!(
        push["pub"]["data"] == "hello" && push["pub"]["info"]["chan_info"] == json!({ "role": "guest" }),
        "{push}"
    );
    client.send(&subscribe(7, "kept:room")).await?;
    let forced =
        json!({ "override": { "force_recovery": { "value": true } }, "expire_at": 4_000_000_000_u64 });
    backend.asked().await?.result(&forced)?;
    let reply = client.recv_where(|value| value["id"] == 7).await?;
    ensure!(
        reply["subscribe"]["expires"] == true && reply["subscribe"]["ttl"] != 0,
        "{reply}"
    );
    ensure!(
        reply["subscribe"]["recoverable"] == true && reply["subscribe"]["positioned"] == true,
        "{reply}"
    );
    Ok(())
}

#[tokio::test]
async fn a_join_is_refused_with_the_backends_own_words() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut reader = connected(&gateway).await?;
    reader.send(&subscribe(5, "judged:room")).await?;
    backend.asked().await?.result(&json!({}))?;
    ensure!(reader.recv().await?.get("subscribe").is_some());

    let mut client = connected(&gateway).await?;
    // What it says meanwhile is that of a stranger.
    client
        .send_batch(&[
            subscribe(5, "judged:room"),
            publish(6, "judged:room", "let me in"),
        ])
        .await?;
    backend
        .asked()
        .await?
        .answer(&json!({ "error": { "code": 403, "message": "members only" } }))?;
    let reply = client.recv().await?;
    assert_eq!(
        reply,
        json!({ "id": 5, "error": { "code": 403, "message": "members only" } })
    );
    let reply = client.recv().await?;
    ensure!(reply["id"] == 6 && reply["error"]["code"] == 103, "{reply}");
    client.send(&subscribe(7, "judged:room")).await?;
    backend.asked().await?.text("garbage")?;
    ensure!(client.recv().await?["error"]["code"] == 100);
    client.send(&subscribe(8, "judged:room")).await?;
    backend.asked().await?.result(&json!({ "expire_at": 1 }))?;
    ensure!(client.recv().await?["error"]["code"] == 110);
    client.send(&subscribe(9, "judged:room")).await?;
    let disconnect = json!({ "disconnect": { "code": 4503, "reason": "banned" } });
    backend.asked().await?.answer(&disconnect)?;
    assert_eq!(client.close_frame().await?, (4503, "banned".to_owned()));
    settle(&mut reader).await?;
    ensure!(reader.waiting().next().is_none(), "a stranger was heard");
    gateway.metrics().await?.balance()
}

#[tokio::test]
async fn what_is_said_meanwhile_comes_back_to_the_member() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    client
        .send_batch(&[
            subscribe(5, "judged:room"),
            publish(6, "judged:room", "first"),
            publish(7, "judged:room", "second"),
            json!({ "id": 8, "subscribe": { "channel": "judged:room" } }),
        ])
        .await?;
    backend.asked().await?.result(&json!({}))?;
    for id in 5..=7 {
        let reply = client.recv_where(|value| value.get("id").is_some()).await?;
        ensure!(reply["id"] == id && reply.get("error").is_none(), "{reply}");
    }
    let again = client.recv_where(|value| value.get("id").is_some()).await?;
    ensure!(again["error"]["code"] == 105 && !backend.is_asked(), "{again}");
    for data in ["first", "second"] {
        assert_eq!(client.push().await?["pub"]["data"], data);
    }
    Ok(())
}

#[tokio::test]
async fn policy_and_limits_go_first() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    let reply = client.request(subscribe(0, "users:room")).await?;
    ensure!(reply["error"]["code"] == 103, "{reply}");
    for room in ["judged:a", "judged:b", "judged:c"] {
        client.send(&subscribe(5, room)).await?;
    }
    client.send(&subscribe(6, "judged:d")).await?;
    // They may come to the backend in another order than their replies have.
    for _ in 0..3 {
        backend.asked().await?.result(&json!({}))?;
    }
    for _ in 0..3 {
        ensure!(client.recv().await?["id"] == 5);
    }
    let reply = client.recv().await?;
    ensure!(reply["error"]["code"] == 106 && !backend.is_asked(), "{reply}");
    // A client cannot get around the question by asking with its connect command.
    let subs = json!({ "judged:room": {}, "free": {} });
    let mut sly = natter_tests::client::Client::connect(&gateway.ws_url()).await?;
    let reply = sly.request(json!({ "connect": { "subs": subs } })).await?;
    let subs = &reply["connect"]["subs"];
    ensure!(
        subs.get("judged:room").is_none() && subs.get("free").is_some(),
        "{reply}"
    );
    Ok(())
}

#[tokio::test]
async fn a_join_can_be_taken_back() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    client
        .send_batch(&[subscribe(5, "judged:room"), publish(6, "judged:room", "unheard")])
        .await?;
    let asked = backend.asked().await?;
    client
        .send(&json!({ "id": 7, "unsubscribe": { "channel": "judged:room" } }))
        .await?;
    asked.given_up().await?;
    let replies = [client.recv().await?, client.recv().await?, client.recv().await?];
    ensure!(
        replies[0] == json!({ "id": 5, "subscribe": {} })
            && replies[1]["error"]["code"] == 103
            && replies[2]["id"] == 7,
        "{replies:?}"
    );
    // The server takes it back as well.
    client.send(&subscribe(8, "judged:room")).await?;
    let asked = backend.asked().await?;
    let target = json!({ "client": asked.body["client"] });
    gateway.api("unsubscribe", &target).await?;
    asked.given_up().await?;
    ensure!(client.recv().await?["id"] == 8);
    let push = client.push().await?;
    ensure!(push["unsubscribe"]["code"] == 2000, "{push}");
    Ok(())
}

#[tokio::test]
async fn whom_the_server_puts_in_meanwhile_is_a_member() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    client
        .send_batch(&[subscribe(5, "judged:room"), publish(6, "judged:room", "mine")])
        .await?;
    let asked = backend.asked().await?;
    let target = json!({ "client": asked.body["client"], "channel": "judged:room" });
    gateway.api("subscribe", &target).await?;
    asked.result(&json!({}))?;
    let reply = client.recv_where(|value| value["id"] == 5).await?;
    ensure!(reply["error"]["code"] == 105, "{reply}");
    let reply = client.recv_where(|value| value["id"] == 6).await?;
    ensure!(reply.get("error").is_none(), "{reply}");
    Ok(())
}

#[tokio::test]
async fn whom_the_server_puts_out_stays_out() -> Result<()> {
    let (mut backend, gateway) = scene().await?;
    let mut client = connected(&gateway).await?;
    client.send(&subscribe(5, "judged:room")).await?;
    let asked = backend.asked().await?;
    let target = json!({ "client": asked.body["client"], "channel": "judged:room" });
    gateway.api("subscribe", &target).await?;
    gateway.api("unsubscribe", &target).await?;
    asked.given_up().await?;
    let reply = client.recv_where(|value| value["id"] == 5).await?;
    ensure!(reply.get("subscribe").is_some(), "{reply}");
    let push = client
        .recv_where(|value| value["push"]["unsubscribe"].is_object())
        .await?;
    ensure!(push["push"]["unsubscribe"]["code"] == 2000, "{push}");
    Ok(())
}
