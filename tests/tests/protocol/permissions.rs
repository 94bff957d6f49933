//! Who may do what: policies of namespaces, capabilities of tokens, expressions.

mod table;

use anyhow::{Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use serde_json::{Value, json};

use crate::scene::{Scene, gateway};

const CONFIG: &str = "
tokens: [{name: backend, hmac_secrets: [of the backend]}]
client: {anonymous: allow}
rooms:
  default: {subscribe: anyone, publish: anyone}
  namespaces:
  - {name: shut, subscribe: token, publish: token, presence: true, presence_read: token, history: {read: token}}
  - {name: cel, subscribe_cel: \"claims.team == 'blue' || meta.guest\", publish_cel: \"subscribed && claims.level >= 3\"}
";

fn token(claims: &Value) -> Result<String> {
    install_crypto();
    let key = EncodingKey::from_secret(b"of the backend");
    Ok(encode(&Header::new(Algorithm::HS256), claims, &key)?)
}

async fn connected(gateway: &Gateway, claims: &Value) -> Result<Client> {
    let connect = json!({ "token": token(claims)? });
    Ok(Client::connected(&gateway.ws_url(), connect).await?.0)
}

/// The code of the answer, 0 without an error.
async fn code(client: &mut Client, operation: &str, mut request: Value) -> Result<u64> {
    if operation == "publish" {
        request["data"] = json!(1);
    }
    let reply = client.request(json!({ operation: request })).await?;
    Ok(reply["error"]["code"].as_u64().unwrap_or_default())
}

fn caps(channels: &[&str], allow: &[&str]) -> Value {
    json!([{ "channels": channels, "match": "wildcard", "allow": allow }])
}

#[tokio::test]
async fn a_renewed_connection_has_the_capabilities_of_its_new_token() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let before = json!({ "sub": "ann", "caps": caps(&["shut:old*", "shut:kept"], &["sub", "pub"]) });
    let mut ann = connected(&scene.gateway, &before).await?;
    for room in ["shut:old", "shut:kept", "shut:older"] {
        assert_eq!(
            code(&mut ann, "subscribe", json!({ "channel": room })).await?,
            0,
            "{room}"
        );
    }
    assert_eq!(
        code(&mut ann, "publish", json!({ "channel": "shut:old" })).await?,
        0
    );
    assert_eq!(ann.push().await?["channel"], "shut:old");
    assert_eq!(
        code(&mut ann, "subscribe", json!({ "channel": "shut:new" })).await?,
        103
    );
    let ticket = token(&json!({ "sub": "ann", "channel": "shut:ticket" }))?;
    let joined = json!({ "channel": "shut:ticket", "token": ticket });
    assert_eq!(code(&mut ann, "subscribe", joined).await?, 0);

    let after = json!({ "sub": "ann", "caps": caps(&["shut:new", "shut:kept"], &["sub"]) });
    let refresh = json!({ "token": token(&after)? });
    assert_eq!(code(&mut ann, "refresh", refresh).await?, 0);
    let mut lost = Vec::new();
    for _ in 0..2 {
        let push = ann.push().await?;
        assert_eq!(push["unsubscribe"]["code"], 2000, "{push}");
        lost.push(push["channel"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(lost, ["shut:old", "shut:older"]);
    for (operation, room, expected) in [
        ("subscribe", "shut:new", 0),
        ("subscribe", "shut:old", 103),
        ("publish", "shut:kept", 103),
        // What a token of its own opened stays.
        ("subscribe", "shut:ticket", 103),
    ] {
        let found = code(&mut ann, operation, json!({ "channel": room })).await?;
        assert_eq!(found, expected, "{operation} {room}");
    }
    scene
        .gateway
        .api("publish", &json!({ "channel": "shut:ticket", "data": 1 }))
        .await?;
    assert_eq!(ann.push().await?["channel"], "shut:ticket");

    let refresh = json!({ "token": token(&json!({ "sub": "ann" }))? });
    assert_eq!(code(&mut ann, "refresh", refresh).await?, 0);
    for room in ["shut:kept", "shut:new"] {
        let push = ann.push().await?;
        assert_eq!(
            (&push["channel"], &push["unsubscribe"]["code"]),
            (&json!(room), &json!(2000))
        );
    }
    scene.untroubled().await
}

#[tokio::test]
async fn a_renewed_subscription_has_those_of_its_own() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let mut ann = connected(&gateway, &json!({ "sub": "ann" })).await?;
    let request = |allow: &[&str]| -> Result<Value> {
        let claims = json!({ "sub": "ann", "channel": "shut:a", "allow": allow });
        Ok(json!({ "channel": "shut:a", "token": token(&claims)?, "recoverable": true }))
    };
    let reply = ann
        .request(json!({ "subscribe": request(&["pub", "hst"])? }))
        .await?;
    // Who may read history may recover.
    ensure!(reply["subscribe"]["recoverable"] == true, "{reply}");
    let read = ["publish", "history", "presence"];
    for (refresh, expected) in [
        (None, [0, 0, 103]),
        (Some(["prs"]), [103, 103, 0]),
        (Some(["all"]), [103; 3]),
    ] {
        if let Some(allow) = refresh {
            assert_eq!(code(&mut ann, "sub_refresh", request(&allow)?).await?, 0);
        }
        for (operation, expected) in read.into_iter().zip(expected) {
            let found = code(&mut ann, operation, json!({ "channel": "shut:a" })).await?;
            assert_eq!(found, expected, "{operation} {refresh:?}");
        }
    }
    let mut bob = connected(
        &gateway,
        &json!({ "sub": "bob", "caps": caps(&["shut:a"], &["sub"]) }),
    )
    .await?;
    let reply = bob
        .request(json!({ "subscribe": { "channel": "shut:a", "recoverable": true } }))
        .await?;
    ensure!(reply["subscribe"].get("recoverable").is_none(), "{reply}");
    Ok(())
}

#[tokio::test]
async fn what_a_token_says_and_nobody_understands_opens_nothing_and_is_told() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    for (caps, fault) in [
        (json!("admin"), "no list of capabilities"),
        (
            json!([{ "channels": ["*"], "match": "all", "allow": ["sub"] }]),
            "a word of `match` that is not known",
        ),
        (
            json!([{ "channels": ["*"], "match": "wildcard", "allow": ["subscribe"] }]),
            "a word of `allow` that is not known",
        ),
        (
            json!([{ "channels": ["("], "match": "regex", "allow": ["sub"] }]),
            "a regular expression that is none, or becomes too large",
        ),
    ] {
        let watch = scene.watch().await?;
        let mut ann = connected(&scene.gateway, &json!({ "sub": "ann", "caps": caps })).await?;
        watch
            .logged(
                "INFO",
                "some of a client's capabilities open nothing",
                &[("fault", json!(fault))],
            )
            .await?;
        assert_eq!(
            code(&mut ann, "subscribe", json!({ "channel": "shut:a" })).await?,
            103,
            "{caps}"
        );
        assert_eq!(
            code(&mut ann, "subscribe", json!({ "channel": "a" })).await?,
            0,
            "{caps}"
        );
    }
    let mut ann = connected(&scene.gateway, &json!({ "sub": "ann" })).await?;
    let watch = scene.watch().await?;
    let ticket = token(&json!({ "sub": "ann", "channel": "shut:b", "allow": ["publish"] }))?;
    assert_eq!(
        code(
            &mut ann,
            "subscribe",
            json!({ "channel": "shut:b", "token": ticket })
        )
        .await?,
        0
    );
    let fault = json!("a word of `allow` that is not known");
    watch
        .logged(
            "INFO",
            "some of a client's capabilities open nothing",
            &[("fault", fault)],
        )
        .await?;
    assert_eq!(
        code(&mut ann, "publish", json!({ "channel": "shut:b" })).await?,
        103
    );
    scene.untroubled().await
}

#[tokio::test]
async fn an_expression_judges_by_claims_meta_and_membership() -> Result<()> {
    let scene = Scene::open(CONFIG).await?;
    let gateway = &scene.gateway;
    for (claims, subscribe, publish) in [
        (json!({ "sub": "ann", "team": "blue", "level": 3 }), 0, 0),
        (json!({ "sub": "ann", "team": "blue", "level": 2 }), 0, 103),
        (
            json!({ "sub": "ann", "team": "red", "level": 9, "meta": { "guest": true } }),
            0,
            0,
        ),
        (
            json!({ "sub": "ann", "team": "red", "level": 9, "meta": { "guest": false } }),
            103,
            103,
        ),
        // Without what the expression looks at there is no answer.
        (json!({ "sub": "ann" }), 103, 103),
        (json!({ "sub": "ann", "team": "blue", "level": "3" }), 0, 103),
    ] {
        let mut client = connected(gateway, &claims).await?;
        let room = json!({ "channel": "cel:a" });
        assert_eq!(
            code(&mut client, "publish", room.clone()).await?,
            103,
            "outside: {claims}"
        );
        assert_eq!(
            code(&mut client, "subscribe", room.clone()).await?,
            subscribe,
            "{claims}"
        );
        assert_eq!(code(&mut client, "publish", room).await?, publish, "{claims}");
    }
    let metrics = gateway.metrics().await?;
    for (operation, result, count) in [
        ("subscribe", "expression", 4.0),
        ("subscribe", "refused", 1.0),
        ("subscribe", "error", 1.0),
        ("publish", "expression", 2.0),
        ("publish", "error", 1.0),
        ("publish", "refused", 9.0),
    ] {
        let labels = [("operation", operation), ("result", result)];
        let found = metrics.value("natter_permissions_total", &labels);
        assert_eq!(found, Some(count), "{operation} {result}");
    }
    let log = gateway.logs();
    let told = log
        .iter()
        .filter(|line| line.text.contains("refused by an expression that has no answer"));
    assert_eq!(told.count(), 2);
    scene.untroubled().await
}

#[tokio::test]
async fn a_renewed_connection_is_judged_by_its_new_claims() -> Result<()> {
    let gateway = gateway(CONFIG).await?;
    let mut ann = connected(&gateway, &json!({ "sub": "ann", "team": "blue" })).await?;
    assert_eq!(
        code(&mut ann, "subscribe", json!({ "channel": "cel:a" })).await?,
        0
    );
    for (claims, leaves) in [
        (json!({ "sub": "ann", "team": "blue", "level": 3 }), false),
        (json!({ "sub": "ann", "team": "red" }), true),
    ] {
        let refresh = json!({ "token": token(&claims)? });
        assert_eq!(code(&mut ann, "refresh", refresh).await?, 0);
        if !leaves {
            assert_eq!(code(&mut ann, "publish", json!({ "channel": "cel:a" })).await?, 0);
            assert!(ann.push().await?.get("pub").is_some());
        }
    }
    let push = ann.push().await?;
    assert_eq!(
        (&push["channel"], &push["unsubscribe"]["code"]),
        (&json!("cel:a"), &json!(2000))
    );
    Ok(())
}
