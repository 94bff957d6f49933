//! Tokens: who a client is, which rooms it may join, and until when.

mod jwks;
mod rsa;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

use crate::scene::{Scene, gateway};

const SECRET: &str = "of the backend";
/// Far beyond all tests, and long ago.
const LATER: u64 = 4_000_000_000;
const BEFORE: u64 = 1_000_000_000;

const CONFIG: &str = "
tokens: [{name: backend, hmac_secrets: [of the backend]}]
client: {anonymous: allow, expired_close_delay: 100ms, expired_sub_close_delay: 100ms}
rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces:
  - {name: closed, subscribe: token, publish: subscribers}
  - {name: users, subscribe: users, publish: users}
";

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn token_by(secret: &str, claims: &Value) -> Result<String> {
    install_crypto();
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), claims, &key)?)
}

fn token(claims: &Value) -> Result<String> {
    token_by(SECRET, claims)
}

/// A client that has sent a token with its connect command, and the reply.
async fn connect(gateway: &Gateway, token: &str) -> Result<(Client, Value)> {
    let mut client = Client::connect(&gateway.ws_url()).await?;
    let reply = client.request(json!({ "connect": { "token": token } })).await?;
    Ok((client, reply))
}

/// How a connection ends that begins with this token.
async fn refused(gateway: &Gateway, token: &str) -> Result<(u16, String)> {
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client
        .send(&json!({ "id": 1, "connect": { "token": token } }))
        .await?;
    client.close_frame().await
}

async fn ann(gateway: &Gateway, claims: Value) -> Result<Client> {
    let mut all = json!({ "sub": "ann" });
    for (name, value) in claims.as_object().context("claims")? {
        all[name] = value.clone();
    }
    let (client, reply) = connect(gateway, &token(&all)?).await?;
    ensure!(reply.get("connect").is_some(), "{reply}");
    Ok(client)
}

async fn subscribe(client: &mut Client, channel: &str, token: &str) -> Result<Value> {
    client
        .request(json!({ "subscribe": { "channel": channel, "token": token } }))
        .await
}

fn code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_token_says_who_the_client_is_and_where() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let claims = json!({
        "sub": "ann", "exp": LATER, "info": { "name": "Ann" }, "channels": ["closed:a"],
        "subs": { "closed:b": { "data": { "hello": 1 }, "info": "in b" } },
    });
    let (mut ann, reply) = connect(&scene.gateway, &token(&claims)?).await?;
    let connect = &reply["connect"];
    ensure!(
        connect["expires"] == true && connect["ttl"].as_u64() > Some(1_000_000),
        "{reply}"
    );
    ensure!(connect["subs"]["closed:a"].is_object(), "{reply}");
    ensure!(connect["subs"]["closed:b"]["data"]["hello"] == 1, "{reply}");
    let said = ann
        .request(json!({ "publish": { "channel": "closed:b", "data": 1 } }))
        .await?;
    ensure!(said.get("error").is_none(), "{said}");
    let push = ann.push().await?;
    let info = &push["pub"]["info"];
    ensure!(
        info["user"] == "ann" && info["conn_info"]["name"] == "Ann",
        "{push}"
    );
    ensure!(info["chan_info"] == "in b", "{push}");
    scene.untroubled().await
}

#[tokio::test]
async fn whoever_brings_no_good_token_stays_out() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    for bad in [
        "garbage".to_owned(),
        token_by("another", &json!({ "sub": "ann" }))?,
        token(&json!({ "sub": 42 }))?,
        // They could not be named by whoever wants to revoke them.
        token(&json!({ "sub": "a".repeat(1_025) }))?,
        token(&json!({ "sub": "ann", "jti": "a".repeat(1_025) }))?,
    ] {
        let (code, reason) = refused(gateway, &bad).await?;
        ensure!(code == 3500, "{bad:?}: {code} {reason}");
    }
    for old in [
        json!({ "sub": "ann", "exp": BEFORE }),
        json!({ "sub": "ann", "nbf": LATER }),
    ] {
        let (mut client, reply) = connect(gateway, &token(&old)?).await?;
        ensure!(code(&reply) == 109, "{reply}");
        assert_eq!(client.close_frame().await?.0, 3005);
    }
    let metrics = gateway.metrics().await?;
    for (result, count) in [
        ("malformed", 4.0),
        ("signature", 1.0),
        ("expired", 1.0),
        ("early", 1.0),
    ] {
        let labels = [("kind", "connection"), ("result", result)];
        assert_eq!(
            metrics.value("natter_tokens_total", &labels),
            Some(count),
            "{result}"
        );
    }
    let log = gateway.logs();
    ensure!(
        log.iter().all(|line| !line.text.contains("eyJ")),
        "the log has a token"
    );
    scene.untroubled().await
}

#[tokio::test]
async fn where_tokens_are_taken_nobody_is_let_in_without() -> Result<()> {
    let gateway = gateway("tokens: [{name: backend, hmac_secrets: [of the backend]}]").await?;
    assert_eq!(refused(&gateway, "").await?.0, 3500);
    ann(&gateway, json!({})).await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_is_renewed_by_a_token_of_the_same_user() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let mut client = ann(gateway, json!({ "exp": now()? + 3 })).await?;
    let fresh = token(&json!({ "sub": "ann", "exp": LATER }))?;
    let reply = client.request(json!({ "refresh": { "token": fresh } })).await?;
    ensure!(reply["refresh"]["expires"] == true, "{reply}");
    ensure!(reply["refresh"]["ttl"].as_u64() > Some(1_000_000), "{reply}");
    for (claims, expected) in [
        (json!({ "sub": "bob", "exp": LATER }), 3500),
        (json!({ "sub": "ann", "exp": BEFORE }), 3005),
    ] {
        let mut client = ann(gateway, json!({})).await?;
        client
            .send(&json!({ "id": 9, "refresh": { "token": token(&claims)? } }))
            .await?;
        assert_eq!(client.close_frame().await?.0, expected, "{claims}");
    }
    let mut mortal = ann(gateway, json!({ "exp": now()? + 3 })).await?;
    assert_eq!(mortal.close_frame().await?.0, 3005);
    let reply = client
        .request(json!({ "publish": { "channel": "a", "data": 1 } }))
        .await?;
    ensure!(reply.get("error").is_none(), "the renewed one has ended: {reply}");
    scene.untroubled().await
}

#[tokio::test]
async fn a_room_opens_to_its_token_alone() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    let mut client = ann(gateway, json!({})).await?;
    for room in ["$secret", "closed:room", "$closed:room"] {
        assert_eq!(code(&subscribe(&mut client, room, "").await?), 103, "{room}");
        for read in ["publish", "history", "presence"] {
            let mut command = json!({ read: { "channel": room } });
            if read == "publish" {
                command[read]["data"] = json!(1);
            }
            let reply = client.request(command).await?;
            ensure!([103, 108].contains(&code(&reply)), "{read} in {room}: {reply}");
        }
        let good = token(&json!({ "sub": "ann", "channel": room, "exp": LATER, "data": "welcome" }))?;
        let joined = subscribe(&mut client, room, &good).await?;
        let result = &joined["subscribe"];
        ensure!(
            result["data"] == "welcome" && result["expires"] == true,
            "{joined}"
        );
        let said = client
            .request(json!({ "publish": { "channel": room, "data": room } }))
            .await?;
        ensure!(said.get("error").is_none(), "{said}");
        ensure!(client.push().await?["pub"]["data"] == room, "{room}");
    }
    for (claims, expected) in [
        (json!({ "sub": "ann", "channel": "$other", "exp": BEFORE }), 109),
        (json!({ "sub": "ann" }), 103),
    ] {
        let reply = subscribe(&mut client, "$other", &token(&claims)?).await?;
        assert_eq!(code(&reply), expected, "{claims}");
    }
    let forged = token_by("another", &json!({ "sub": "ann", "channel": "$other" }))?;
    assert_eq!(code(&subscribe(&mut client, "$other", &forged).await?), 103);
    // One of another room or user is a mistake that nobody makes by accident.
    for claims in [
        json!({ "sub": "ann", "channel": "$else" }),
        json!({ "sub": "bob", "channel": "$other" }),
    ] {
        let mut client = ann(gateway, json!({})).await?;
        let subscribe = json!({ "channel": "$other", "token": token(&claims)? });
        client.send(&json!({ "id": 5, "subscribe": subscribe })).await?;
        assert_eq!(client.close_frame().await?.0, 3500, "{claims}");
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_token_for_users_of_a_room_lets_nobody_else_in() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let mut client = ann(&gateway, json!({})).await?;
    let token = token(&json!({ "sub": "ann", "channel": "talk#bob" }))?;
    assert_eq!(code(&subscribe(&mut client, "talk#bob", &token).await?), 103);
    let (mut nobody, reply) = connect(&gateway, &self::token(&json!({}))?).await?;
    ensure!(reply.get("connect").is_some(), "anonymous by token: {reply}");
    assert_eq!(code(&subscribe(&mut nobody, "users:room", "").await?), 103);
    Ok(())
}

#[tokio::test]
async fn a_subscription_is_renewed_by_a_token_of_its_room() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let mut client = ann(&scene.gateway, json!({})).await?;
    let lease = |room: &str, exp: u64| token(&json!({ "sub": "ann", "channel": room, "exp": exp }));
    for room in ["$kept", "$left"] {
        let joined = subscribe(&mut client, room, &lease(room, now()? + 3)?).await?;
        ensure!(joined["subscribe"]["expires"] == true, "{joined}");
    }
    let renew = json!({ "sub_refresh": { "channel": "$kept", "token": lease("$kept", LATER)? } });
    let reply = client.request(renew).await?;
    ensure!(reply["sub_refresh"]["ttl"].as_u64() > Some(1_000_000), "{reply}");
    for (request, expected) in [
        (
            json!({ "channel": "$kept", "token": lease("$kept", BEFORE)? }),
            110,
        ),
        (json!({ "channel": "$kept" }), 107),
        (
            json!({ "channel": "$never", "token": lease("$never", LATER)? }),
            103,
        ),
    ] {
        let reply = client.request(json!({ "sub_refresh": request })).await?;
        assert_eq!(code(&reply), expected, "{request}");
    }
    let push = client.push().await?;
    ensure!(
        push["channel"] == "$left" && push["unsubscribe"]["code"] == 2501,
        "{push}"
    );
    let said = client
        .request(json!({ "publish": { "channel": "$kept", "data": 1 } }))
        .await?;
    ensure!(said.get("error").is_none(), "{said}");
    ensure!(client.push().await?["channel"] == "$kept", "it is in there still");
    scene.untroubled().await
}
