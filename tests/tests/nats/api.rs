//! The server API asked at one gateway about clients of another.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::support::{LIMIT, connect, expect, gateway, member, publish};

/// Connects as a user that the proxy in front would vouch for.
async fn user(gateway: &Gateway, name: &'static str) -> Result<Client> {
    let mut request = gateway.ws_url().into_client_request()?;
    request
        .headers_mut()
        .insert("x-user", HeaderValue::from_static(name));
    let mut client = Client::open(request).await?;
    let reply = client.request(json!({ "connect": {} })).await?;
    ensure!(reply.get("connect").is_some(), "{reply}");
    Ok(client)
}

async fn call(gateway: &Gateway, method: &str, request: Value) -> Result<Value> {
    let mut answer = gateway.api(method, &request).await?;
    ensure!(
        answer.get("result").is_some(),
        "{method} {request} was answered by {answer}"
    );
    Ok(answer["result"].take())
}

async fn names(gateway: &Gateway) -> Result<Vec<String>> {
    let info = call(gateway, "info", json!({})).await?;
    let nodes = info["nodes"].as_array().context("no nodes")?;
    nodes
        .iter()
        .map(|node| node["name"].as_str().map(str::to_owned).context("no name"))
        .collect()
}

async fn wait_names(gateway: &Gateway, expected: &[&str], limit: Duration) -> Result<()> {
    eventually(&format!("{expected:?} are there"), limit, async || {
        let names = names(gateway).await?;
        ensure!(names == expected, "{names:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn orders_reach_users_at_the_other_gateway() -> Result<()> {
    let nats = NatsServer::start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    let mut ann = user(&b, "ann").await?;
    let mut bob = user(&b, "bob").await?;

    call(&a, "subscribe", json!({ "user": "ann", "channel": "room" })).await?;
    let push = ann.push().await?;
    ensure!(
        push["channel"] == "room" && push.get("subscribe").is_some(),
        "{push}"
    );
    call(&a, "publish", json!({ "channel": "room", "data": "for ann" })).await?;
    expect(&mut ann, "room", &json!("for ann")).await?;

    call(&a, "unsubscribe", json!({ "user": "ann", "channel": "room" })).await?;
    let push = ann.push().await?;
    ensure!(push["unsubscribe"]["code"] == 2000, "{push}");

    let reason = json!({ "code": 4321, "reason": "enough" });
    call(&a, "disconnect", json!({ "user": "ann", "disconnect": reason })).await?;
    assert_eq!(ann.close_frame().await?, (4321, "enough".to_owned()));

    // Bob was meant by none of it.
    publish(&mut bob, "room", json!("still here")).await?;
    ensure!(bob.waiting().next().is_none());
    let broadcast = json!({ "channels": ["one", "two"], "data": "to both" });
    let mut both = [member(&b, "one").await?, member(&b, "two").await?];
    call(&a, "broadcast", broadcast).await?;
    for (client, room) in both.iter_mut().zip(["one", "two"]) {
        expect(client, room, &json!("to both")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn channels_are_counted_over_all_gateways() -> Result<()> {
    let nats = NatsServer::start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    wait_names(&a, &["a", "b"], LIMIT).await?;
    let _members = [
        member(&a, "shared").await?,
        member(&a, "shared").await?,
        member(&b, "shared").await?,
        member(&b, "only-b").await?,
    ];
    let all = call(&a, "channels", json!({})).await?;
    let expected = json!({ "channels": { "shared": { "num_clients": 3 }, "only-b": { "num_clients": 1 } } });
    assert_eq!(all, expected);
    let some = call(&a, "channels", json!({ "pattern": "only-*" })).await?;
    assert_eq!(some, json!({ "channels": { "only-b": { "num_clients": 1 } } }));
    Ok(())
}

#[tokio::test]
async fn info_lists_who_is_there_and_forgets_who_is_gone() -> Result<()> {
    let nats = NatsServer::start().await?;
    let start = async |name| gateway(name, nats.url()).await;
    let (a, b, c) = tokio::try_join!(start("a"), start("b"), start("c"))?;
    for gateway in [&a, &b, &c] {
        wait_names(gateway, &["a", "b", "c"], LIMIT).await?;
    }
    let _client = connect(&b).await?;
    eventually("the client of b is in the list of a", LIMIT, async || {
        let info = call(&a, "info", json!({})).await?;
        ensure!(info["nodes"][1]["num_clients"] == 1, "{info}");
        Ok(())
    })
    .await?;
    // One takes its leave and is forgotten before anything could have run out; the other one vanishes.
    c.terminate()?;
    ensure!(c.wait_exit(LIMIT).await?.success());
    wait_names(&a, &["a", "b"], Duration::from_secs(3)).await?;
    b.kill()?;
    assert_eq!(names(&a).await?, ["a", "b"], "nobody can know yet");
    wait_names(&a, &["a"], Duration::from_secs(15)).await
}
