//! Connections and subscriptions that expire and that a backend renews.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use natter_tests::backend::{Asked, Backend};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use serde_json::{Value, json};

use super::beside;
use crate::scene::{LIMIT, settle};

const ROOMS: &str = "rooms:
  default: {subscribe: anyone, publish: anyone, presence: true}
  namespaces:
  - {name: lent, subscribe: anyone, publish: anyone, presence: true, subscribe_proxy: backend, sub_refresh_proxy: backend}
";
/// Far beyond all tests.
const LATER: u64 = 4_000_000_000;

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// `delay` is what is left to connections and subscriptions after their end.
async fn scene(delay: &str, proxy: &str) -> Result<(Backend, Gateway)> {
    let backend = Backend::start().await?;
    let client = format!(
        "client: {{connect_proxy: backend, refresh_proxy: backend, rpc_proxy: backend, expired_close_delay: {delay}, expired_sub_close_delay: {delay}}}\n{ROOMS}"
    );
    let proxy = format!(", include_connection_meta: true{proxy}");
    let gateway = beside(&backend, &proxy, &client).await?;
    Ok((backend, gateway))
}

/// A client whose connection is what the backend says. It is not told when it ends, as it has no part in what follows.
async fn connected(backend: &mut Backend, gateway: &Gateway, result: Value) -> Result<Client> {
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&json!({ "id": 1, "connect": {} })).await?;
    backend.asked().await?.result(&result)?;
    let reply = client.recv().await?;
    ensure!(
        reply.get("connect").is_some() && reply["connect"].get("ttl").is_none(),
        "{reply}"
    );
    Ok(client)
}

async fn short(backend: &mut Backend, gateway: &Gateway) -> Result<Client> {
    let result = json!({ "user": "ann", "expire_at": now()? + 3, "meta": { "shop": 3 } });
    connected(backend, gateway, result).await
}

async fn lasting(backend: &mut Backend, gateway: &Gateway) -> Result<Client> {
    connected(backend, gateway, json!({ "user": "ann" })).await
}

/// Joins a room whose subscription ends soon.
async fn join(backend: &mut Backend, client: &mut Client, channel: &str) -> Result<()> {
    let until = now()? + 3;
    client
        .send(&json!({ "id": 5, "subscribe": { "channel": channel } }))
        .await?;
    backend.asked().await?.result(&json!({ "expire_at": until }))?;
    assert_eq!(client.recv().await?, json!({ "id": 5, "subscribe": {} }));
    Ok(())
}

/// What is told of the one member of a room to whom asks who is there.
async fn told_of(client: &mut Client, channel: &str) -> Result<Value> {
    let reply = client
        .request(json!({ "presence": { "channel": channel } }))
        .await?;
    let members = reply["presence"]["presence"].as_object();
    let mut members = members.into_iter().flatten().map(|(_, info)| info.clone());
    let member = members.next().with_context(|| reply.to_string())?;
    ensure!(members.next().is_none(), "{reply}");
    Ok(member)
}

fn is_of(asked: &Asked, channel: Option<&str>) -> bool {
    asked.body["user"] == "ann" && asked.body.get("channel").and_then(Value::as_str) == channel
}

#[tokio::test]
async fn a_connection_goes_on_as_the_backend_says() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let mut client = short(&mut backend, &gateway).await?;
    client.request(json!({ "subscribe": { "channel": "a" } })).await?;
    assert_eq!(told_of(&mut client, "a").await?.get("conn_info"), None);
    let asked = backend.asked().await?;
    ensure!(
        is_of(&asked, None) && asked.body["meta"] == json!({ "shop": 3 }),
        "{}",
        asked.body
    );
    let again = json!({ "expire_at": now()? + 2, "info": { "name": "Ann" }, "meta": { "shop": 4 } });
    asked.result(&again)?;
    let asked = backend.asked().await?;
    ensure!(asked.body["meta"] == json!({ "shop": 4 }), "{}", asked.body);
    assert_eq!(
        told_of(&mut client, "a").await?["conn_info"],
        json!({ "name": "Ann" })
    );
    asked.result(&json!({ "expire_at": LATER }))?;
    client
        .request(json!({ "publish": { "channel": "a", "data": 1 } }))
        .await?;
    let push = client.push().await?;
    ensure!(
        push["pub"]["info"]["conn_info"] == json!({ "name": "Ann" }),
        "{push}"
    );
    let labels = [("kind", "refresh"), ("result", "answered")];
    eventually("both answers are counted", LIMIT, async || {
        let calls = gateway
            .metrics()
            .await?
            .value("natter_proxy_calls_total", &labels);
        ensure!(calls == Some(2.0), "{calls:?}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test]
async fn a_connection_that_is_not_renewed_ends() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let endings = [
        (json!({ "result": { "expired": true } }), 3005),
        (json!({}), 3005),
        (json!({ "result": {} }), 3005),
        (json!({ "result": { "expire_at": 1 } }), 3005),
        (json!({ "error": { "code": 1000, "message": "no" } }), 3005),
        (
            json!({ "disconnect": { "code": 4501, "reason": "banned" } }),
            4501,
        ),
    ];
    let mut clients = Vec::new();
    for user in 0..endings.len() {
        let user = json!({ "user": user.to_string() });
        clients.push(connected(&mut backend, &gateway, user).await?);
    }
    for user in 0..endings.len() {
        let refresh = json!({ "user": user.to_string(), "expire_at": now()? + 3 });
        gateway.api("refresh", &refresh).await?;
    }
    for _ in &endings {
        let asked = backend.asked().await?;
        let user = asked.body["user"]
            .as_str()
            .and_then(|user| user.parse::<usize>().ok());
        let (answer, _) = &endings[user.context("nobody")?];
        asked.answer(answer)?;
    }
    for (mut client, (answer, code)) in clients.into_iter().zip(&endings) {
        assert_eq!(client.close_frame().await?.0, *code, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_without_a_verdict_is_asked_again() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let mut client = short(&mut backend, &gateway).await?;
    backend.asked().await?.text("garbage")?;
    let later = json!({ "error": { "code": 1001, "temporary": true } });
    backend.asked().await?.answer(&later)?;
    backend.asked().await?.result(&json!({ "expire_at": LATER }))?;
    settle(&mut client).await
}

#[tokio::test]
async fn what_nobody_answers_for_ends_with_its_delay() -> Result<()> {
    let (mut backend, gateway) = scene("100ms", "").await?;
    let mut client = short(&mut backend, &gateway).await?;
    tokio::select! {
        closed = client.close_frame() => assert_eq!(closed?.0, 3005),
        failed = only_garbage(&mut backend) => return failed,
    }
    Ok(())
}

async fn only_garbage(backend: &mut Backend) -> Result<()> {
    loop {
        backend.asked().await?.text("garbage")?;
    }
}

#[tokio::test]
async fn who_goes_away_or_is_renewed_by_the_server_ends_the_question() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let client = short(&mut backend, &gateway).await?;
    let asked = backend.asked().await?;
    drop(client);
    asked.given_up().await?;

    let mut client = short(&mut backend, &gateway).await?;
    let asked = backend.asked().await?;
    let refresh = json!({ "user": "ann", "expire_at": LATER });
    gateway.api("refresh", &refresh).await?;
    asked.given_up().await?;
    let push = client.push().await?;
    ensure!(push["refresh"]["expires"] == true, "{push}");
    settle(&mut client).await
}

#[tokio::test]
async fn a_subscription_goes_on_or_ends_as_the_backend_says() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let mut client = lasting(&mut backend, &gateway).await?;
    join(&mut backend, &mut client, "lent:a").await?;
    client.request(json!({ "subscribe": { "channel": "a" } })).await?;
    let asked = backend.asked().await?;
    ensure!(is_of(&asked, Some("lent:a")), "{}", asked.body);
    let again = json!({ "expire_at": now()? + 2, "info": "captain" });
    asked.result(&again)?;
    let asked = backend.asked().await?;
    assert_eq!(told_of(&mut client, "lent:a").await?["chan_info"], "captain");
    assert_eq!(told_of(&mut client, "a").await?.get("chan_info"), None);
    client
        .request(json!({ "publish": { "channel": "lent:a", "data": 1 } }))
        .await?;
    let push = client.push().await?;
    ensure!(push["pub"]["info"]["chan_info"] == "captain", "{push}");
    asked.result(&json!({ "expired": true }))?;
    let push = client.push().await?;
    ensure!(
        push["channel"] == "lent:a" && push["unsubscribe"]["code"] == 2501,
        "{push}"
    );
    // Where the server put the client in, the connection ends.
    let subscribe = json!({ "user": "ann", "channel": "lent:b", "expire_at": now()? + 2 });
    gateway.api("subscribe", &subscribe).await?;
    backend.asked().await?.answer(&json!({}))?;
    assert_eq!(client.close_frame().await?.0, 3006);
    Ok(())
}

#[tokio::test]
async fn subscriptions_are_asked_about_one_by_one() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let mut client = lasting(&mut backend, &gateway).await?;
    for channel in ["lent:a", "lent:b"] {
        join(&mut backend, &mut client, channel).await?;
    }
    let first = backend.asked().await?;
    // The other is due by then.
    let due = now()? + 4;
    eventually("its time comes", LIMIT, async || {
        now().is_ok_and(|now| now >= due)
    })
    .await?;
    ensure!(!backend.is_asked(), "two at once");
    // What is left need not be renewed any more, and the next has its turn.
    let left = json!({ "unsubscribe": { "channel": first.body["channel"] } });
    client.request(left).await?;
    let second = backend.asked().await?;
    ensure!(first.body["channel"] != second.body["channel"], "{}", second.body);
    first.given_up().await?;
    second.result(&json!({}))?;
    settle(&mut client).await
}

#[tokio::test]
async fn clients_cannot_renew_what_a_backend_renews() -> Result<()> {
    let (mut backend, gateway) = scene("4s", "").await?;
    let mut client = lasting(&mut backend, &gateway).await?;
    client
        .send(&json!({ "id": 7, "refresh": { "token": "t" } }))
        .await?;
    assert_eq!(client.close_frame().await?.0, 3501);
    let mut client = lasting(&mut backend, &gateway).await?;
    join(&mut backend, &mut client, "lent:a").await?;
    client
        .send(&json!({ "id": 7, "sub_refresh": { "channel": "lent:a", "token": "t" } }))
        .await?;
    assert_eq!(client.close_frame().await?.0, 3501);
    Ok(())
}

#[tokio::test]
async fn what_expires_leaves_places_to_clients() -> Result<()> {
    let (mut backend, gateway) = scene("4s", ", max_in_flight: 2").await?;
    let mut clients = Vec::new();
    for user in ["ann", "bob", "eve"] {
        clients.push(connected(&mut backend, &gateway, json!({ "user": user })).await?);
    }
    let soon = now()? + 2;
    for user in ["ann", "bob"] {
        let refresh = json!({ "user": user, "expire_at": soon });
        gateway.api("refresh", &refresh).await?;
    }
    let first = backend.asked().await?;
    let labels = [("kind", "refresh"), ("result", "full")];
    eventually("one is refused", LIMIT, async || {
        let metrics = gateway.metrics().await.ok()?;
        metrics
            .value("natter_proxy_calls_total", &labels)
            .filter(|&refused| refused >= 1.0)
    })
    .await?;
    clients[2]
        .send(&json!({ "id": 5, "rpc": { "method": "m" } }))
        .await?;
    let call = backend.asked().await?;
    ensure!(call.body["method"] == "m", "{}", call.body);
    call.result(&json!({ "data": 1 }))?;
    ensure!(clients[2].recv().await?["rpc"]["data"] == 1);
    let later = json!({ "expire_at": LATER });
    first.result(&later)?;
    backend.asked().await?.result(&later)?;
    for client in &mut clients {
        settle(client).await?;
    }
    Ok(())
}
