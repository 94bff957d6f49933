//! Connections and subscriptions that expire, and who renews them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use natter_tests::client::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::channels::user;
use crate::scene::{Scene, connected, settle};

const SHORT: &str = "
client: {user_id_header: x-user, anonymous: allow, expired_close_delay: 100ms, expired_sub_close_delay: 100ms}
";

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

async fn call(scene: &Scene, method: &str, request: Value) -> Result<()> {
    let answer = scene.gateway.api(method, &request).await?;
    ensure!(answer.get("result").is_some(), "{request}: {answer}");
    Ok(())
}

async fn refresh_push(client: &mut Client) -> Result<Value> {
    let push = client.push().await?;
    push.get("refresh").cloned().with_context(|| push.to_string())
}

#[tokio::test]
async fn a_connection_that_nobody_renews_ends_with_3005() -> Result<()> {
    let scene = Scene::open(SHORT).await?;
    let (mut mortal, mut other) = (user(&scene, "42").await?, user(&scene, "43").await?);
    let watch = scene.watch().await?;
    let began = Instant::now();
    call(
        &scene,
        "refresh",
        json!({ "user": "42", "expire_at": now()? + 2 }),
    )
    .await?;
    let told = refresh_push(&mut mortal).await?;
    ensure!(told["expires"] == true, "{told}");
    ensure!(told["ttl"] == 1 || told["ttl"] == 2, "{told}");
    assert_eq!(
        mortal.close_frame().await?,
        (3005, "connection expired".to_owned())
    );
    ensure!(began.elapsed().as_millis() >= 1_000, "{:?}", began.elapsed());
    watch.ended("expired").await?;
    settle(&mut other).await?;
    assert_eq!(other.waiting().count(), 0, "it is not meant");

    call(&scene, "refresh", json!({ "user": "43", "expired": true })).await?;
    assert_eq!(other.close_frame().await?.0, 3005);
    let mut late = user(&scene, "44").await?;
    call(
        &scene,
        "refresh",
        json!({ "user": "44", "expire_at": now()? - 1 }),
    )
    .await?;
    assert_eq!(late.close_frame().await?.0, 3005, "its time has passed");
    scene.untroubled().await
}

#[tokio::test]
async fn a_connection_that_is_renewed_stays_and_is_pinged_all_the_while() -> Result<()> {
    let pings = "client: {user_id_header: x-user, anonymous: allow, expired_close_delay: 0s, ping_interval: 4s, pong_timeout: 2s}\n";
    let scene = Scene::open(pings).await?;
    let mut client = user(&scene, "42").await?;
    client.answer_pings(false);
    let soon = json!({ "user": "42", "expire_at": now()? + 3 });
    call(&scene, "refresh", soon.clone()).await?;
    assert_eq!(refresh_push(&mut client).await?["expires"], true);
    call(&scene, "refresh", soon).await?;
    let for_good = json!({ "user": "42", "info": { "name": "Ann" } });
    call(&scene, "refresh", for_good).await?;
    // The time at which it would have expired lies before the second ping: the session wakes then, and must bring no ping forward.
    let mut first = None;
    for _ in 0..3 {
        assert_eq!(client.recv_where(|value| *value == json!({})).await?, json!({}));
        first.get_or_insert_with(Instant::now);
        client.send_text("{}").await?;
    }
    let passed = first.context("no ping")?.elapsed();
    ensure!(passed.as_millis() >= 7_000, "two more pings within {passed:?}");
    let refreshes: Vec<_> = client
        .waiting()
        .filter_map(|value| value["push"].get("refresh"))
        .collect();
    assert_eq!(refreshes.len(), 2, "{refreshes:?}");
    assert_eq!(refreshes[1], &json!({}), "it does not expire any more");
    client.request(json!({ "subscribe": { "channel": "a" } })).await?;
    client
        .request(json!({ "publish": { "channel": "a", "data": 1 } }))
        .await?;
    let push = client
        .recv_where(|value| value["push"].get("pub").is_some())
        .await?;
    assert_eq!(push["push"]["pub"]["info"]["conn_info"], json!({ "name": "Ann" }));
    scene.untroubled().await
}

#[tokio::test]
async fn a_subscription_of_the_server_that_expires_ends_the_connection_with_3006() -> Result<()> {
    let scene = Scene::open(SHORT).await?;
    let mut client = user(&scene, "42").await?;
    let watch = scene.watch().await?;
    let past = json!({ "user": "42", "channel": "a", "expire_at": now()? - 1 });
    let answer = scene.gateway.api("subscribe", &past).await?;
    assert_eq!(answer["error"]["code"], 110, "{answer}");
    // One that is left in time ends nothing.
    call(
        &scene,
        "subscribe",
        json!({ "user": "42", "channel": "left", "expire_at": now()? + 1 }),
    )
    .await?;
    client.push().await?;
    client
        .request(json!({ "unsubscribe": { "channel": "left" } }))
        .await?;
    call(
        &scene,
        "subscribe",
        json!({ "user": "42", "channel": "a", "expire_at": now()? + 3 }),
    )
    .await?;
    assert_eq!(client.push().await?["channel"], "a");
    let began = Instant::now();
    assert_eq!(
        client.close_frame().await?,
        (3006, "subscription expired".to_owned())
    );
    ensure!(began.elapsed().as_millis() >= 1_500, "{:?}", began.elapsed());
    watch.ended("subscription_expired").await?;
    scene.untroubled().await
}

/// No key can be configured to check a token with: an identity that cannot be checked is refused and never ignored.
#[tokio::test]
async fn tokens_that_nobody_can_check_are_refused() -> Result<()> {
    let scene = Scene::open("").await?;
    for (command, code) in [
        (json!({ "id": 9, "refresh": { "token": "t" } }), 3500),
        (json!({ "id": 9, "refresh": {} }), 3501),
        (
            json!({ "id": 9, "sub_refresh": { "channel": "", "token": "t" } }),
            3501,
        ),
        (
            json!({ "id": 9, "sub_refresh": { "channel": "a", "token": "t" } }),
            3500,
        ),
    ] {
        let mut client = connected(&scene.gateway).await?;
        client.request(json!({ "subscribe": { "channel": "a" } })).await?;
        client.send(&command).await?;
        assert_eq!(client.close_frame().await?.0, code, "{command}");
    }
    let mut client = connected(&scene.gateway).await?;
    let outside = client
        .request(json!({ "sub_refresh": { "channel": "a", "token": "t" } }))
        .await?;
    assert_eq!(outside["error"]["code"], 103, "{outside}");
    client.request(json!({ "subscribe": { "channel": "a" } })).await?;
    let missing = client
        .request(json!({ "sub_refresh": { "channel": "a" } }))
        .await?;
    assert_eq!(missing["error"]["code"], 107, "{missing}");
    scene.untroubled().await
}

#[tokio::test]
async fn refreshes_that_name_nobody_or_no_time_are_bad_requests() -> Result<()> {
    let scene = Scene::open("").await?;
    for request in [
        json!({}),
        json!({ "user": "", "expire_at": 1 }),
        json!({ "user": "42", "expire_at": -1 }),
        json!({ "client": "42" }),
        json!({ "session": "x" }),
    ] {
        let answer = scene.gateway.api("refresh", &request).await?;
        assert_eq!(answer["error"]["code"], 107, "{request}");
    }
    scene.untroubled().await
}
