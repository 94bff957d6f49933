//! Rooms that a connection is in by the server's decision, over two gateways.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use natter_tests::gateway::Gateway;
use natter_tests::node;
use natter_tests::proxy::Proxy;
use serde_json::{Value, json};

use crate::support::{LIMIT, PREFIX, call, user, wait_bus};
use crate::users;

const SETTINGS: &str = "
client:
  user_id_header: x-user
  anonymous: allow
  expired_close_delay: 100ms
  subscribe_to_user_personal_channel: {enabled: true, personal_channel_namespace: me}
rooms:
  namespaces:
    - {name: me, subscribe: users, publish: server, history: {size: 1000, ttl: 1h, force_recovery: true}}
    - {name: open, subscribe: anyone, publish: anyone}
";

async fn gateway(name: &str, nats: String) -> Result<Gateway> {
    let config = format!(
        "node_name: {name}\napi: {{keys: [natter-tests]}}\ndrain: {{accept: 0s, duration: 0s}}\n\
         bus: {{prefix: {PREFIX}, nats: {{servers: ['{}']}}}}\n{SETTINGS}",
        users::login(&nats)
    );
    let gateway = Gateway::builder().name(name).config(&config).start().await?;
    wait_bus(&gateway, "up").await?;
    Ok(gateway)
}

#[tokio::test]
async fn orders_of_one_gateway_reach_sessions_at_the_other_one() -> Result<()> {
    let nats = users::server().jetstream().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    let mut client = user(&b, "42").await?;
    call(&a, "publish", json!({ "channel": "me:#42", "data": 1 })).await?;
    assert_eq!(client.push().await?["pub"]["data"], 1);

    let subscribe = json!({ "user": "42", "channel": "open:a", "data": { "by": "a" }, "info": "host" });
    call(&a, "subscribe", subscribe).await?;
    assert_eq!(client.push().await?["subscribe"]["data"], json!({ "by": "a" }));
    client
        .request(json!({ "publish": { "channel": "open:a", "data": 2 } }))
        .await?;
    assert_eq!(client.push().await?["pub"]["info"]["chan_info"], "host");

    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 2;
    call(&a, "refresh", json!({ "user": "42", "expire_at": end })).await?;
    assert_eq!(client.push().await?["refresh"]["expires"], true);
    assert_eq!(
        client.close_frame().await?,
        (3005, "connection expired".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn the_official_client_recovers_rooms_of_the_server() -> Result<()> {
    let nats = users::server().jetstream().start().await?;
    let (a, b) = tokio::try_join!(gateway("a", nats.url()), gateway("b", nats.url()))?;
    let proxy = Proxy::start(a.public()).await?;
    let host = proxy.address().to_string();
    let script = node::start("sdk/server_side.mjs", &[], &[("NATTER_HOST", &host)])?;
    let next = async |event: &str| -> Result<Value> {
        let fits = |line: &Value| line["event"] == event || line["event"] == "failed";
        let line = script.expect_json(fits, 2 * LIMIT).await?;
        ensure!(line["event"] == event, "{line}");
        Ok(line)
    };
    next("connected").await?;
    let publish =
        async |number: u32| call(&b, "publish", json!({ "channel": "me:#42", "data": number })).await;
    publish(0).await?;
    next("heard").await?;
    proxy.cut();
    for number in 1..=20 {
        publish(number).await?;
    }
    proxy.resume();
    next("recovered").await?;
    publish(21).await?;
    // It comes back from this as well, and misses nothing.
    call(&b, "refresh", json!({ "user": "42", "expired": true })).await?;
    next("expired").await?;
    publish(22).await?;
    next("summary").await?;
    script.wait_success(LIMIT).await.context("the client")
}
