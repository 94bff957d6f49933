//! Secrets stay where they are. Every gateway of every test is looked through when it is dropped (`natter_tests::secrets`); here is
//! that this finds one, and a gateway that has every kind of secret and says all that it can.

use anyhow::{Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::nats::NatsServer;
use natter_tests::otlp::OtlpReceiver;
use natter_tests::wait::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::LIMIT;

const KEY: &str = "the-key-of-the-server-api";
const HMAC: &str = "the-secret-that-signs-tokens";
const PASSWORD: &str = "the-password-at-nats";
const CONTROL: &str = "the-token-of-control-calls";

#[tokio::test]
async fn a_secret_that_is_shown_is_found_in_the_log() -> Result<()> {
    let config = format!("api: {{ keys: [{KEY}] }}\nlog: {{ level: debug }}");
    let gateway = Gateway::builder().config(&config).api_key(KEY).start().await?;
    gateway
        .api("publish", &json!({ "channel": KEY, "data": 1 }))
        .await?;
    gateway
        .wait_log(|line| line.message() == "publication", LIMIT)
        .await?;
    let leaks = gateway.shown_secrets();
    ensure!(leaks.iter().any(|leak| leak.secret == KEY), "{leaks:?}");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_shown_is_found_in_the_metrics() -> Result<()> {
    let config = format!("api: {{ keys: [{KEY}] }}\nrooms: {{ namespaces: [{{ name: {KEY} }}] }}");
    let gateway = Gateway::builder().config(&config).start().await?;
    let leaks = gateway.shown_secrets();
    ensure!(
        leaks.iter().any(|leak| leak.place.starts_with("/metrics")),
        "{leaks:?}"
    );
    Ok(())
}

fn token(secret: &str) -> Result<String> {
    install_crypto();
    let claims = json!({ "sub": "42", "exp": 4_000_000_000_u64 });
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

async fn connect(gateway: &Gateway, token: &str) -> Result<Value> {
    let mut client = Client::connect(&gateway.ws_url()).await?;
    client
        .send(&json!({ "id": 1, "connect": { "token": token } }))
        .await?;
    client.recv().await
}

/// At the level where the libraries of the gateway speak too.
#[tokio::test]
async fn a_gateway_that_says_all_it_can_shows_none() -> Result<()> {
    let nats = NatsServer::builder()
        .config(&format!("authorization {{ user: natter, password: {PASSWORD} }}"))
        .start()
        .await?;
    let receiver = OtlpReceiver::start().await?;
    let folder = TempDir::new()?;
    let file = folder.path().join("control");
    std::fs::write(&file, CONTROL)?;
    let config = format!(
        "api: {{ keys: [{KEY}, another-{KEY}], nats: true }}
log: {{ level: trace }}
tracing: {{ otlp_endpoint: '{}', sample_ratio: 1 }}
ops: {{ control: {{ token_file: '{}' }} }}
tokens: [{{ name: backend, hmac_secrets: [{HMAC}] }}]
client: {{ anonymous: allow, rpc_proxy: backend }}
proxies: [{{ name: backend, endpoint: 'http://127.0.0.1:1', static_headers: ['Authorization: Bearer of-the-proxy'] }}]
bus: {{ nats: {{ servers: ['{}'] }} }}",
        receiver.endpoint(),
        file.display(),
        nats.url().replacen("://", &format!("://natter:{PASSWORD}@"), 1),
    );
    let gateway = Gateway::builder().config(&config).api_key(KEY).start().await?;
    eventually("the bus is up", LIMIT, async || {
        let (status, body) = gateway.ready().await?;
        ensure!(status == 200, "{body}");
        Ok(())
    })
    .await?;

    let message = json!({ "channel": "room", "data": 1 });
    gateway.api("publish", &message).await?;
    for key in [
        None,
        Some(KEY),
        Some("another-the-key-of-the-server-api"),
        Some("the-key-of-somebody"),
    ] {
        gateway.api_raw("publish", key, message.to_string()).await?;
    }
    let url = format!("{}/api/info?api_key={KEY}", gateway.http_url());
    gateway.get(&url).await?;
    for token in [
        token(HMAC)?,
        token("the-secret-of-somebody")?,
        format!("{}x", token(HMAC)?),
    ] {
        connect(&gateway, &token).await.ok();
        let url = format!("{}/connection/websocket?cf_connect={token}", gateway.http_url());
        gateway.get(&url).await?;
    }
    let (mut client, _) = Client::connected(&gateway.ws_url(), json!({})).await?;
    let reply = client
        .request(json!({ "rpc": { "method": "any", "data": {} } }))
        .await?;
    ensure!(reply.get("error").is_some(), "nobody answers there: {reply}");
    gateway.control("state", CONTROL, "").await?;
    gateway.control("cordon", "somebody-elses-token", "").await?;
    receiver
        .wait_span(|span| span.name == "publish default", LIMIT)
        .await?;
    nats.kill()?;
    gateway.wait_bus("down", LIMIT).await?;
    gateway.write_config(&config.replace(HMAC, "a-secret-that-came-later-and-is-long"))?;
    gateway.reload()?;
    gateway
        .wait_log(|line| line.message().contains("configuration"), LIMIT)
        .await?;
    let leaks = gateway.shown_secrets();
    ensure!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}
