//! What a backend lets clients do beside what namespaces permit.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use serde_json::{Value, json};

use super::beside;

const CONFIG: &str = "
client: {connect_proxy: backend, refresh_proxy: backend, expired_close_delay: 16s}
rooms:
  default: {subscribe: users, publish: users}
  namespaces:
  - {name: shut, subscribe: token, publish: token}
  - {name: asked, subscribe: token, publish: token, subscribe_proxy: backend}
  - {name: said, subscribe: users, publish: token, publish_proxy: backend}
  - {name: cel, subscribe_cel: \"'admin' in meta.roles\", publish: users, subscribe_proxy: backend}
";
const LATER: u64 = 4_000_000_000;
const UNSUBSCRIBED: u64 = 2000;

/// The code of the answer to a command that no backend is asked about, 0 without an error.
async fn code(client: &mut Client, operation: &str, channel: &str) -> Result<u64> {
    let mut request = json!({ "channel": channel });
    if operation == "publish" {
        request["data"] = json!(1);
    }
    let reply = client.request(json!({ operation: request })).await?;
    Ok(reply["error"]["code"].as_u64().unwrap_or_default())
}

fn caps(channel: &str, allow: &[&str]) -> Value {
    json!([{ "channels": [channel], "allow": allow }])
}

#[tokio::test]
async fn a_connection_has_the_capabilities_that_the_backend_says() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", CONFIG).await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&json!({ "id": 100, "connect": {} })).await?;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3;
    let subs = json!({ "shut:b": { "allow": ["pub"] } });
    let result = json!({ "user": "ann", "expire_at": soon, "caps": caps("shut:a", &["sub"]), "subs": subs });
    backend.asked().await?.result(&result)?;
    ensure!(client.recv().await?.get("connect").is_some());
    assert_eq!(code(&mut client, "subscribe", "shut:a").await?, 0);
    assert_eq!(code(&mut client, "publish", "shut:a").await?, 103);
    assert_eq!(code(&mut client, "publish", "shut:b").await?, 0);
    ensure!(client.push().await?["channel"] == "shut:b");

    // The renewal says something else of them.
    let renewed = json!({ "expire_at": LATER, "caps": caps("shut:b", &["sub", "pub"]) });
    backend.asked().await?.result(&renewed)?;
    let push = client.push().await?;
    ensure!(
        push["channel"] == "shut:a" && push["unsubscribe"]["code"] == UNSUBSCRIBED,
        "{push}"
    );
    assert_eq!(code(&mut client, "subscribe", "shut:a").await?, 103);
    assert_eq!(code(&mut client, "publish", "shut:b").await?, 0);
    Ok(())
}

#[tokio::test]
async fn beside_a_proxy_token_means_its_word() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", CONFIG).await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&json!({ "id": 100, "connect": {} })).await?;
    let result = json!({ "user": "ann", "meta": { "roles": ["guest"] } });
    backend.asked().await?.result(&result)?;
    ensure!(client.recv().await?.get("connect").is_some());

    client
        .send(&json!({ "id": 101, "subscribe": { "channel": "asked:a" } }))
        .await?;
    backend.asked().await?.result(&json!({ "allow": ["pub"] }))?;
    assert_eq!(client.recv().await?, json!({ "id": 101, "subscribe": {} }));
    assert_eq!(code(&mut client, "publish", "asked:a").await?, 0);
    ensure!(client.push().await?["channel"] == "asked:a");

    client
        .send(&json!({ "id": 102, "subscribe": { "channel": "asked:b" } }))
        .await?;
    backend.asked().await?.result(&json!({}))?;
    assert_eq!(client.recv().await?, json!({ "id": 102, "subscribe": {} }));
    assert_eq!(code(&mut client, "publish", "asked:b").await?, 103);

    client
        .send(&json!({ "id": 103, "publish": { "channel": "said:a", "data": 1 } }))
        .await?;
    backend.asked().await?.result(&json!({}))?;
    assert_eq!(client.recv().await?, json!({ "id": 103, "publish": {} }));

    // An expression comes first: whom it refuses nobody is asked about.
    assert_eq!(code(&mut client, "subscribe", "cel:a").await?, 103);
    Ok(())
}

/// Let in by its capabilities, and permitted by the backend: the backend's word does not outlive the capabilities.
#[tokio::test]
async fn a_room_that_capabilities_open_is_lost_with_them_though_the_backend_permitted_it() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", CONFIG).await?;
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client.send(&json!({ "id": 100, "connect": {} })).await?;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3;
    let result = json!({ "user": "ann", "expire_at": soon, "caps": caps("cel:a", &["sub"]) });
    backend.asked().await?.result(&result)?;
    ensure!(client.recv().await?.get("connect").is_some());
    client
        .send(&json!({ "id": 101, "subscribe": { "channel": "cel:a" } }))
        .await?;
    backend.asked().await?.result(&json!({}))?;
    assert_eq!(client.recv().await?, json!({ "id": 101, "subscribe": {} }));

    let renewed = json!({ "expire_at": LATER, "caps": caps("shut:a", &["sub"]) });
    backend.asked().await?.result(&renewed)?;
    let push = client.push().await?;
    ensure!(
        push["channel"] == "cel:a" && push["unsubscribe"]["code"] == UNSUBSCRIBED,
        "{push}"
    );
    Ok(())
}

/// What the backend permits is still not said by somebody who was banned while it was asked.
#[tokio::test]
async fn a_ban_comes_before_what_the_backend_permits() -> Result<()> {
    let mut backend = Backend::start().await?;
    let gateway = beside(&backend, "", CONFIG).await?;
    let mut clients = Vec::new();
    for user in ["ann", "bob"] {
        let mut client = Client::connect(&gateway.ws_url()).await?;
        client.send(&json!({ "id": 100, "connect": {} })).await?;
        let subs = json!({ "said:a": { "allow": ["pub"] } });
        backend
            .asked()
            .await?
            .result(&json!({ "user": user, "subs": subs }))?;
        ensure!(client.recv().await?.get("connect").is_some());
        clients.push(client);
    }
    let [ann, bob] = &mut clients[..] else {
        anyhow::bail!("two clients")
    };
    let say = |id: u32| json!({ "id": id, "publish": { "channel": "said:a", "data": id } });
    ann.send(&say(101)).await?;
    let asked = backend.asked().await?;
    let ban = json!({ "user": "ann", "channel": "said:a" });
    let banned = gateway.api("ban_user", &ban).await?;
    ensure!(banned.get("error").is_none(), "{banned}");
    asked.result(&json!({}))?;
    let push = ann.push().await?;
    ensure!(push["unsubscribe"]["code"] == UNSUBSCRIBED, "{push}");
    let reply = ann.recv_where(|value| value["id"] == 101).await?;
    ensure!(reply["error"]["code"] == 103, "{reply}");
    // The next that the room hears is what somebody else says.
    bob.send(&say(102)).await?;
    backend.asked().await?.result(&json!({}))?;
    let push = bob.push().await?;
    assert_eq!(push["pub"]["data"], 102, "{push}");
    Ok(())
}
