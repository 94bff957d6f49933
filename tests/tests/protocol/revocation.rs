//! What is revoked: connections and subscriptions that end, and what is refused from then on.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::scene::Scene;

const CONFIG: &str = "
tokens: [{name: backend, hmac_secrets: [of the backend]}]
client: {anonymous: allow, user_id_header: x-user}
rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces:
  - {name: kept, subscribe: users, publish: users, presence: true, presence_read: users, history: {read: users}}
";

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn token(claims: &Value) -> Result<String> {
    install_crypto();
    let key = EncodingKey::from_secret(b"of the backend");
    Ok(encode(&Header::new(Algorithm::HS256), claims, &key)?)
}

/// A client that came in with a token.
async fn by_token(gateway: &Gateway, claims: &Value) -> Result<Client> {
    let request = json!({ "token": token(claims)? });
    Ok(Client::connected(&gateway.ws_url(), request).await?.0)
}

/// A client that the proxy in front names.
async fn named(gateway: &Gateway, user: &str) -> Result<Client> {
    let mut request = gateway.ws_url().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("x-user", HeaderValue::from_str(user)?);
    let mut client = Client::open(request).await?;
    client.send(&json!({ "id": 1, "connect": {} })).await?;
    Ok(client)
}

/// How a connection ends that begins with this token.
async fn refused(gateway: &Gateway, claims: &Value) -> Result<u16> {
    let mut client = Client::connect(&gateway.ws_url()).await?;
    let connect = json!({ "id": 1, "connect": { "token": token(claims)? } });
    client.send(&connect).await?;
    Ok(client.close_frame().await?.0)
}

async fn call(gateway: &Gateway, method: &str, request: Value) -> Result<Value> {
    let mut answer = gateway.api(method, &request).await?;
    ensure!(answer.get("result").is_some(), "{method} {request}: {answer}");
    Ok(answer["result"].take())
}

fn code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_default()
}

/// It is answered as somebody who is there.
async fn is_in(client: &mut Client) -> Result<()> {
    let command = json!({ "publish": { "channel": "free", "data": 1 } });
    let reply = client.request(command).await?;
    ensure!(reply.get("error").is_none(), "{reply}");
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_ends_its_connections_and_no_others() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let lost = json!({ "sub": "ann", "jti": "lost" });
    let mut ann = by_token(gateway, &lost).await?;
    let mut anonymous = by_token(gateway, &json!({ "jti": "lost" })).await?;
    let mut other = by_token(gateway, &json!({ "sub": "ann", "jti": "other" })).await?;
    let mut plain = by_token(gateway, &json!({ "sub": "ann" })).await?;
    call(gateway, "revoke_token", json!({ "uid": "lost" })).await?;
    for client in [&mut ann, &mut anonymous] {
        assert_eq!(client.close_frame().await?.0, 3500);
    }
    assert_eq!(refused(gateway, &lost).await?, 3500);
    // Renewing with it is no better.
    let refresh = json!({ "id": 9, "refresh": { "token": token(&lost)? } });
    other.send(&refresh).await?;
    assert_eq!(other.close_frame().await?.0, 3500);
    is_in(&mut plain).await?;
    scene.untroubled().await
}

#[tokio::test]
async fn whoever_renewed_in_time_keeps_its_connection() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let mut ann = by_token(gateway, &json!({ "sub": "ann", "jti": "old" })).await?;
    let fresh = token(&json!({ "sub": "ann", "jti": "new" }))?;
    ann.request(json!({ "refresh": { "token": fresh } })).await?;
    call(gateway, "revoke_token", json!({ "uid": "old" })).await?;
    is_in(&mut ann).await?;
    call(gateway, "revoke_token", json!({ "uid": "new" })).await?;
    assert_eq!(ann.close_frame().await?.0, 3500);
    scene.untroubled().await
}

#[tokio::test]
async fn a_blocked_user_is_out_whatever_names_it() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let claims = json!({ "sub": "ann", "iat": 4_000_000_000_u64 });
    let mut ann = by_token(gateway, &claims).await?;
    let mut at_home = named(gateway, "ann").await?;
    at_home.recv_where(|reply| reply.get("connect").is_some()).await?;
    let mut bob = by_token(gateway, &json!({ "sub": "bob" })).await?;
    call(gateway, "block_user", json!({ "user": "ann" })).await?;
    for client in [&mut ann, &mut at_home] {
        assert_eq!(client.close_frame().await?.0, 3503);
    }
    assert_eq!(refused(gateway, &claims).await?, 3503);
    assert_eq!(named(gateway, "ann").await?.close_frame().await?.0, 3503);
    is_in(&mut bob).await?;
    call(gateway, "unblock_user", json!({ "user": "ann" })).await?;
    is_in(&mut by_token(gateway, &claims).await?).await?;
    let metrics = gateway.metrics().await?;
    for (result, count) in [("closed", 2.0), ("refused", 2.0)] {
        let labels = [("kind", "user"), ("result", result)];
        assert_eq!(
            metrics.value("natter_revocation_acts_total", &labels),
            Some(count)
        );
    }
    assert_eq!(
        metrics.value("natter_revocations", &[("kind", "user")]),
        Some(0.0)
    );
    scene.untroubled().await
}

#[tokio::test]
async fn older_tokens_of_a_user_end_and_newer_ones_do_not() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let now = now()?;
    let old = json!({ "sub": "ann", "iat": now - 10 });
    let new = json!({ "sub": "ann", "iat": now + 10 });
    let silent = json!({ "sub": "ann" });
    let (mut first, mut second) = (by_token(gateway, &old).await?, by_token(gateway, &silent).await?);
    let mut third = by_token(gateway, &new).await?;
    let mut by_name = named(gateway, "ann").await?;
    call(
        gateway,
        "invalidate_user_tokens",
        json!({ "user": "ann", "issued_before": now }),
    )
    .await?;
    for client in [&mut first, &mut second] {
        assert_eq!(client.close_frame().await?.0, 3500);
    }
    assert_eq!(refused(gateway, &old).await?, 3500);
    is_in(&mut third).await?;
    is_in(&mut by_token(gateway, &new).await?).await?;
    by_name.recv_where(|reply| reply.get("connect").is_some()).await?;
    is_in(&mut by_name).await?;
    // Without a time those of now are among the older ones.
    call(gateway, "invalidate_user_tokens", json!({ "user": "bob" })).await?;
    assert_eq!(
        refused(gateway, &json!({ "sub": "bob", "iat": now })).await?,
        3500
    );
    scene.untroubled().await
}

#[tokio::test]
async fn a_subscription_ends_with_its_token_alone() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let mut ann = by_token(gateway, &json!({ "sub": "ann", "jti": "connection" })).await?;
    let of = |room: &str, id: &str, iat: u64| {
        token(&json!({ "sub": "ann", "channel": room, "jti": id, "iat": iat }))
    };
    for (room, id) in [("$lost", "lost"), ("$old", "old"), ("$kept", "kept")] {
        let subscribe = json!({ "channel": room, "token": of(room, id, 100)? });
        let reply = ann.request(json!({ "subscribe": subscribe })).await?;
        ensure!(reply.get("subscribe").is_some(), "{reply}");
    }
    call(gateway, "revoke_token", json!({ "uid": "lost" })).await?;
    let old = json!({ "user": "ann", "channel": "$old", "issued_before": 200 });
    call(gateway, "invalidate_user_tokens", old).await?;
    for room in ["$lost", "$old"] {
        let push = ann.push().await?;
        ensure!(
            push["channel"] == room && push["unsubscribe"]["code"] == 2000,
            "{push}"
        );
    }
    for (room, id, iat, expected) in [
        ("$lost", "lost", 100, 103),
        ("$old", "old", 199, 103),
        ("$lost", "another", 100, 0),
        ("$old", "newer", 200, 0),
    ] {
        let subscribe = json!({ "channel": room, "token": of(room, id, iat)? });
        let reply = ann.request(json!({ "subscribe": subscribe })).await?;
        assert_eq!(code(&reply), expected, "{room} {id} {reply}");
    }
    // Renewed by a good one, the first one's end means nothing; renewed by a bad one it is refused.
    let renew = json!({ "channel": "$kept", "token": of("$kept", "next", 300)? });
    ann.request(json!({ "sub_refresh": renew })).await?;
    call(gateway, "revoke_token", json!({ "uid": "kept" })).await?;
    let said = json!({ "publish": { "channel": "$kept", "data": 1 } });
    ensure!(code(&ann.request(said).await?) == 0, "it is out");
    let renew = json!({ "channel": "$kept", "token": of("$kept", "lost", 300)? });
    let reply = ann.request(json!({ "sub_refresh": renew })).await?;
    assert_eq!(code(&reply), 103, "{reply}");
    scene.untroubled().await
}

#[tokio::test]
async fn a_ban_keeps_a_user_out_of_one_room() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let mut ann = by_token(gateway, &json!({ "sub": "ann" })).await?;
    for room in ["kept:a", "kept:b"] {
        let reply = ann.request(json!({ "subscribe": { "channel": room } })).await?;
        ensure!(reply.get("subscribe").is_some(), "{reply}");
    }
    call(gateway, "ban_user", json!({ "user": "ann", "channel": "kept:a" })).await?;
    let push = ann.push().await?;
    ensure!(
        push["channel"] == "kept:a" && push["unsubscribe"]["code"] == 2000,
        "{push}"
    );
    let commands = |room: &str| {
        [
            json!({ "subscribe": { "channel": room } }),
            json!({ "publish": { "channel": room, "data": 1 } }),
            json!({ "history": { "channel": room } }),
            json!({ "presence": { "channel": room } }),
            json!({ "presence_stats": { "channel": room } }),
        ]
    };
    for command in commands("kept:a") {
        let reply = ann.request(command.clone()).await?;
        assert_eq!(code(&reply), 103, "{command}");
    }
    // Neither a token nor the server puts it in.
    let subscribe = json!({ "user": "ann", "channel": "kept:a" });
    call(gateway, "subscribe", subscribe).await?;
    let granted = json!({ "sub": "ann", "channels": ["kept:a", "kept:b"] });
    let request = json!({ "token": token(&granted)? });
    let (mut again, connected) = Client::connected(&gateway.ws_url(), request).await?;
    ensure!(connected["subs"].get("kept:a").is_none(), "{connected}");
    ensure!(connected["subs"]["kept:b"].is_object(), "{connected}");
    let by_token = token(&json!({ "sub": "ann", "channel": "kept:a" }))?;
    let subscribe = json!({ "channel": "kept:a", "token": by_token });
    let reply = again.request(json!({ "subscribe": subscribe })).await?;
    assert_eq!(code(&reply), 103, "{reply}");
    // Others, and other rooms, do not notice.
    for command in &commands("kept:b")[1..] {
        let reply = ann.request(command.clone()).await?;
        assert_eq!(code(&reply), 0, "{command}");
    }
    call(
        gateway,
        "unban_user",
        json!({ "user": "ann", "channel": "kept:a" }),
    )
    .await?;
    for command in commands("kept:a") {
        let reply = again.request(command.clone()).await?;
        assert_eq!(code(&reply), 0, "{command}");
    }
    scene.untroubled().await
}

#[tokio::test]
async fn rules_end_are_listed_and_counted() -> Result<()> {
    let scene = Scene::open(&format!("{CONFIG}revocation: {{max_rules: 3}}\n")).await?;
    let gateway = &scene.gateway;
    let soon = now()? + 3;
    let claims = json!({ "sub": "ann" });
    call(gateway, "block_user", json!({ "user": "ann", "expire_at": soon })).await?;
    call(gateway, "revoke_token", json!({ "uid": "t1" })).await?;
    call(gateway, "ban_user", json!({ "user": "ann", "channel": "free" })).await?;
    let full = gateway.api("block_user", &json!({ "user": "bob" })).await?;
    assert_eq!(code(&full), 106, "{full}");
    // One that is there already may be changed.
    call(gateway, "revoke_token", json!({ "uid": "t1" })).await?;
    let first = call(gateway, "revocations", json!({ "limit": 2 })).await?;
    let cursor = &first["cursor"];
    let second = call(gateway, "revocations", json!({ "limit": 2, "cursor": cursor })).await?;
    ensure!(first["total"] == 3 && second.get("cursor").is_none(), "{second}");
    let listed = [&first, &second].map(|page| page["revocations"].as_array().cloned().unwrap_or_default());
    let kinds: Vec<_> = listed.concat().iter().map(|rule| rule["kind"].clone()).collect();
    assert_eq!(kinds, ["ban", "token", "user"]);
    let of_ann = call(gateway, "revocations", json!({ "user": "ann" })).await?;
    assert_eq!(
        of_ann["revocations"].as_array().map(Vec::len),
        Some(2),
        "{of_ann}"
    );
    natter_tests::wait::eventually("the rule is over", crate::scene::LIMIT, async || {
        let request = json!({ "token": token(&claims)? });
        Client::connected(&gateway.ws_url(), request).await.map(drop)
    })
    .await?;
    scene.untroubled().await
}

/// Rooms into which a connection token puts its client are by that token.
#[tokio::test]
async fn rooms_of_a_connection_token_end_with_it_and_are_not_given_again() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let claims = |issued_at: u64| json!({ "sub": "ann", "iat": issued_at, "channels": ["kept:one", "kept:two"], "subs": { "kept:sub": {} } });
    let rule = |channel| json!({ "user": "ann", "channel": channel, "issued_before": 2_000 });
    let mut ann = by_token(gateway, &claims(1_000)).await?;
    for room in ["kept:one", "kept:sub"] {
        call(gateway, "invalidate_user_tokens", rule(room)).await?;
        let push = ann.push().await?;
        ensure!(
            push["channel"] == room && push["unsubscribe"]["code"] == 2000,
            "{push}"
        );
    }
    for (issued_at, expected) in [
        (1_000, vec!["kept:two"]),
        (2_000, vec!["kept:one", "kept:sub", "kept:two"]),
    ] {
        let request = json!({ "token": token(&claims(issued_at))? });
        let (_client, connected) = Client::connected(&gateway.ws_url(), request).await?;
        let subs = connected["subs"].as_object().cloned().unwrap_or_default();
        assert_eq!(subs.keys().collect::<Vec<_>>(), expected, "{connected}");
    }
    // One that has renewed its connection is in its rooms by the newer token.
    let fresh = token(&claims(2_000))?;
    ann.request(json!({ "refresh": { "token": fresh } })).await?;
    call(gateway, "invalidate_user_tokens", rule("kept:two")).await?;
    is_in(&mut ann).await?;
    let history = json!({ "unsubscribe": { "channel": "kept:two" } });
    ensure!(ann.request(history).await?.get("error").is_none());
    ensure!(
        ann.waiting()
            .all(|value| value["push"].get("unsubscribe").is_none())
    );
    scene.untroubled().await
}

/// Somebody who is kept out of a room is not put into it because the connect request names it.
#[tokio::test]
async fn banned_rooms_are_left_out_of_what_a_connect_request_wishes() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let ban = json!({ "user": "ann", "channel": "kept:room" });
    call(gateway, "ban_user", ban).await?;
    let request = json!({
        "token": token(&json!({ "sub": "ann" }))?,
        "subs": { "kept:room": {}, "kept:other": {} },
    });
    let (_client, connected) = Client::connected(&gateway.ws_url(), request).await?;
    let subs = connected["subs"].as_object().cloned().unwrap_or_default();
    assert_eq!(subs.keys().collect::<Vec<_>>(), ["kept:other"], "{connected}");
    scene.untroubled().await
}
