//! The server API acting on connections: disconnect, subscribe, unsubscribe.

use anyhow::{Context, Result};
use natter_tests::client::Client;
use serde_json::{Value, json};

use crate::channels::user;
use crate::scene::{Scene, member, settle};

const USERS: &str = "client: {user_id_header: x-user, anonymous: allow}\nrooms: {namespaces: [{name: pushed, subscribe: server, publish: server}]}";

#[tokio::test]
async fn disconnect_closes_all_connections_of_a_user_with_the_chosen_code() -> Result<()> {
    let scene = Scene::open(USERS).await?;
    let (mut first, mut second) = (user(&scene, "42").await?, user(&scene, "42").await?);
    let mut other = user(&scene, "43").await?;
    let watch = scene.watch().await?;
    let request = json!({ "user": "42", "disconnect": { "code": 4001, "reason": "signed out" } });
    assert_eq!(
        scene.gateway.api("disconnect", &request).await?,
        json!({ "result": {} })
    );
    for client in [&mut first, &mut second] {
        assert_eq!(client.close_frame().await?, (4001, "signed out".to_owned()));
    }
    watch
        .counted("natter_disconnects_total", &[("reason", "chosen")], 2)
        .await?;
    watch
        .logged("DEBUG", "closed", &[("user", json!("42")), ("code", json!(4001))])
        .await?;
    settle(&mut other).await?;
    scene.gateway.api("disconnect", &json!({ "user": "43" })).await?;
    assert_eq!(
        other.close_frame().await?,
        (3503, "force disconnect".to_owned()),
        "the default"
    );
    watch.counted("natter_disconnects_total", &[], 3).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn disconnect_spares_the_whitelist_and_everybody_else() -> Result<()> {
    let scene = Scene::open(USERS).await?;
    let mut kept = user(&scene, "42").await?;
    let id = own_id(&mut kept).await?;
    let mut dropped = user(&scene, "42").await?;
    let dropped_id = own_id(&mut dropped).await?;
    let watch = scene.watch().await?;
    // One client, but not that user's: nobody is meant.
    scene
        .gateway
        .api("disconnect", &json!({ "user": "43", "client": id }))
        .await?;
    scene
        .gateway
        .api("disconnect", &json!({ "user": "42", "whitelist": [id] }))
        .await?;
    assert_eq!(dropped.close_frame().await?.0, 3503);
    settle(&mut kept).await?;
    scene
        .gateway
        .api("disconnect", &json!({ "client": dropped_id }))
        .await?;
    scene.gateway.api("disconnect", &json!({ "client": id })).await?;
    assert_eq!(kept.close_frame().await?.0, 3503, "one client by its id alone");
    watch.counted("natter_disconnects_total", &[], 2).await?;
    scene.untroubled().await
}

/// There an empty user means every anonymous client; here it means a mistake.
#[tokio::test]
async fn an_empty_user_disconnects_nobody() -> Result<()> {
    let scene = Scene::open("").await?;
    let watch = scene.watch().await?;
    for request in [
        json!({}),
        json!({ "user": "" }),
        json!({ "user": null, "client": null }),
    ] {
        let (status, body) = scene
            .gateway
            .api_raw("disconnect", Some("natter-tests"), request.to_string())
            .await?;
        assert_eq!((status, body.contains("107")), (200, true), "{body}");
    }
    watch.counted("natter_disconnects_total", &[], 0).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn subscribe_tells_the_client_and_then_delivers() -> Result<()> {
    let scene = Scene::open(USERS).await?;
    let mut client = user(&scene, "42").await?;
    let request = json!({ "user": "42", "channel": "pushed:room" });
    assert_eq!(
        scene.gateway.api("subscribe", &request).await?,
        json!({ "result": {} })
    );
    assert_eq!(
        client.push().await?,
        json!({ "channel": "pushed:room", "subscribe": {} })
    );
    scene
        .gateway
        .api("publish", &json!({ "channel": "pushed:room", "data": 1 }))
        .await?;
    assert_eq!(
        client.push().await?,
        json!({ "channel": "pushed:room", "pub": { "data": 1 } })
    );
    // Again: it stays as it is, without a second push or a second delivery.
    scene.gateway.api("subscribe", &request).await?;
    scene
        .gateway
        .api("publish", &json!({ "channel": "pushed:room", "data": 2 }))
        .await?;
    assert_eq!(client.push().await?["pub"]["data"], 2);
    settle(&mut client).await?;
    assert_eq!(client.waiting().count(), 0);
    scene.untroubled().await
}

/// Nobody waits for what becomes of it at every gateway, so the log says it.
#[tokio::test]
async fn who_cannot_be_put_into_a_room_stays_as_it_is() -> Result<()> {
    let scene = Scene::open(
        "client: {user_id_header: x-user, anonymous: allow, channel_limit: 2}
rooms: {namespaces: [{name: bytes, subscribe: anyone, payload: binary}]}",
    )
    .await?;
    let mut client = user(&scene, "42").await?;
    let watch = scene.watch().await?;
    for (channel, refused) in [("bytes:a", Some(107)), ("a", None), ("b", None), ("c", Some(106))] {
        let request = json!({ "user": "42", "channel": channel });
        assert_eq!(
            scene.gateway.api("subscribe", &request).await?,
            json!({ "result": {} }),
            "{channel}"
        );
        if let Some(code) = refused {
            let fields = [("channel", json!(channel)), ("code", json!(code))];
            watch
                .logged("INFO", "did not subscribe as the server API says", &fields)
                .await?;
        } else {
            assert_eq!(
                client.push().await?,
                json!({ "channel": channel, "subscribe": {} })
            );
        }
    }
    client
        .request(json!({ "publish": { "channel": "a", "data": 1 } }))
        .await?;
    assert_eq!(client.push().await?["pub"]["data"], 1);
    scene.untroubled().await
}

#[tokio::test]
async fn unsubscribe_tells_the_client_and_ends_the_deliveries() -> Result<()> {
    let scene = Scene::open(USERS).await?;
    let mut client = user(&scene, "42").await?;
    for channel in ["a", "b", "c"] {
        client
            .request(json!({ "subscribe": { "channel": channel } }))
            .await?;
    }
    let mut witness = member(&scene.gateway, "a").await?;
    let ended = |channel: &str| json!({ "channel": channel, "unsubscribe": { "code": 2000, "reason": "server unsubscribe" } });
    scene
        .gateway
        .api("unsubscribe", &json!({ "user": "42", "channel": "a" }))
        .await?;
    assert_eq!(client.push().await?, ended("a"));
    scene
        .gateway
        .api("unsubscribe", &json!({ "user": "42", "channel": "a" }))
        .await?;
    scene
        .gateway
        .api("publish", &json!({ "channel": "a", "data": 1 }))
        .await?;
    assert_eq!(witness.push().await?["pub"]["data"], 1, "others stay");
    settle(&mut client).await?;
    assert_eq!(
        client.waiting().count(),
        0,
        "neither a second push nor the message"
    );
    // Without a channel: from all of them.
    scene.gateway.api("unsubscribe", &json!({ "user": "42" })).await?;
    let mut channels = [client.push().await?, client.push().await?];
    channels.sort_by_key(Value::to_string);
    assert_eq!(channels, [ended("b"), ended("c")]);
    scene.untroubled().await
}

/// A client learns its id from the info of its own message.
async fn own_id(client: &mut Client) -> Result<String> {
    client
        .request(json!({ "subscribe": { "channel": "who-am-i" } }))
        .await?;
    client
        .request(json!({ "publish": { "channel": "who-am-i", "data": null } }))
        .await?;
    let push = client.push().await?;
    client
        .request(json!({ "unsubscribe": { "channel": "who-am-i" } }))
        .await?;
    let id = push["pub"]["info"]["client"].as_str();
    id.map(str::to_owned).context("no client id")
}
