//! Keys that an issuer publishes: fetched, rotated, and kept when the issuer is away or talks nonsense.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::backend::Backend;
use natter_tests::client::Client;
use natter_tests::gateway::Gateway;
use natter_tests::wait::eventually;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{code, connect, refused};
use crate::scene::gateway;

/// Longer than the pause between two requests for keys.
const LIMIT: Duration = Duration::from_secs(15);

struct Signer {
    id: String,
    pair: KeyPair,
}

impl Signer {
    fn new(id: &str) -> Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            pair: KeyPair::generate_for(&rcgen::PKCS_ED25519)?,
        })
    }

    fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key_raw());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x })
    }

    fn token(&self) -> Result<String> {
        install_crypto();
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let key = EncodingKey::from_ed_pem(self.pair.serialize_pem().as_bytes())?;
        Ok(encode(&header, &json!({ "sub": "ann" }), &key)?)
    }
}

async fn open(issuer: &Backend) -> Result<Gateway> {
    gateway(&format!(
        "tokens: [{{name: idp, jwks_url: '{}', jwks_refresh: 1h}}]",
        issuer.url()
    ))
    .await
}

async fn is_let_in(gateway: &Gateway, token: &str) -> Result<()> {
    let (_, reply) = connect(gateway, token).await?;
    ensure!(reply.get("connect").is_some(), "{reply}");
    Ok(())
}

async fn fetches(gateway: &Gateway, result: &str) -> Result<Option<f64>> {
    let labels = [("issuer", "idp"), ("result", result)];
    let metrics = gateway.metrics().await?;
    Ok(metrics.value("natter_jwks_fetches_total", &labels))
}

#[tokio::test]
async fn keys_are_fetched_and_new_ones_when_a_token_names_them() -> Result<()> {
    let (old, new, never) = (Signer::new("old")?, Signer::new("new")?, Signer::new("never")?);
    let mut issuer = Backend::start().await?;
    let gateway = open(&issuer).await?;
    issuer
        .asked()
        .await?
        .answer(&json!({ "keys": [old.jwk(), { "kty": "unheard-of" }] }))?;
    eventually("the first key is known", LIMIT, async || {
        ensure!(fetches(&gateway, "fetched").await? == Some(1.0), "it is not");
        anyhow::Ok(())
    })
    .await?;
    is_let_in(&gateway, &old.token()?).await?;
    // Two wait for one request.
    let tokens = [new.token()?, never.token()?];
    let (joined, stranger, ()) = tokio::try_join!(
        async { is_let_in(&gateway, &tokens[0]).await },
        async { refused(&gateway, &tokens[1]).await },
        async {
            issuer
                .asked()
                .await?
                .answer(&json!({ "keys": [old.jwk(), new.jwk()] }))
        },
    )?;
    let () = joined;
    assert_eq!(stranger.0, 3500);
    is_let_in(&gateway, &old.token()?).await?;
    assert_eq!(fetches(&gateway, "fetched").await?, Some(2.0));
    Ok(())
}

/// What is not understood is left out (RFC 7517 section 5), and a key is for nothing but what it says.
#[tokio::test]
async fn one_key_in_a_set_spoils_no_other() -> Result<()> {
    let (good, for_others, to_encrypt) = (Signer::new("good")?, Signer::new("alg")?, Signer::new("use")?);
    let mut issuer = Backend::start().await?;
    let gateway = open(&issuer).await?;
    let (mut other_algorithm, mut other_use) = (for_others.jwk(), to_encrypt.jwk());
    other_algorithm["alg"] = json!("RSA-OAEP");
    other_use["use"] = json!("enc");
    let odd = json!({ "kty": "OKP", "crv": "Ed25519", "kid": 7, "x": "AA" });
    let keys = [
        json!(null),
        odd,
        json!({}),
        other_algorithm,
        other_use,
        good.jwk(),
    ];
    let answer = json!({ "keys": keys });
    issuer.asked().await?.answer(&answer)?;
    eventually("the key is known", LIMIT, async || {
        ensure!(fetches(&gateway, "fetched").await? == Some(1.0), "it is not");
        anyhow::Ok(())
    })
    .await?;
    is_let_in(&gateway, &good.token()?).await?;
    // Keys that it does not know are looked for once more, together.
    let (first, second) = (for_others.token()?, to_encrypt.token()?);
    let (first, second, ()) =
        tokio::try_join!(refused(&gateway, &first), refused(&gateway, &second), async {
            issuer.asked().await?.answer(&answer)
        })?;
    assert_eq!((first.0, second.0), (3500, 3500));
    // A secret is never fetched: nobody is asked about it.
    let key = EncodingKey::from_secret(b"whatever");
    let symmetric = encode(&Header::new(Algorithm::HS256), &json!({ "sub": "ann" }), &key)?;
    assert_eq!(refused(&gateway, &symmetric).await?.0, 3500);
    assert_eq!(fetches(&gateway, "fetched").await?, Some(2.0));
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_is_away_or_talks_nonsense_takes_no_key_from_anybody() -> Result<()> {
    let (known, unknown) = (Signer::new("known")?, Signer::new("unknown")?);
    let mut issuer = Backend::start().await?;
    let gateway = open(&issuer).await?;
    issuer.asked().await?.answer(&json!({ "keys": [known.jwk()] }))?;
    eventually("the key is known", LIMIT, async || {
        ensure!(fetches(&gateway, "fetched").await? == Some(1.0), "it is not");
        anyhow::Ok(())
    })
    .await?;
    let token = unknown.token()?;
    let (reply, ()) = tokio::try_join!(async { Ok(connect(&gateway, &token).await?.1) }, async {
        issuer.asked().await?.text("<html>down for maintenance</html>")
    },)?;
    // Nobody knows whether it is a good one: its client may try again.
    ensure!(
        code(&reply) == 100 && reply["error"]["temporary"] == true,
        "{reply}"
    );
    assert_eq!(fetches(&gateway, "failed").await?, Some(1.0));
    is_let_in(&gateway, &known.token()?).await
}

#[tokio::test]
async fn an_issuer_that_is_slow_or_down_is_asked_seldom_and_holds_nobody_up() -> Result<()> {
    const STRANGERS: usize = 30;
    let began = Instant::now();
    let known = Signer::new("known")?;
    let mut issuer = Backend::start().await?;
    let gateway = open(&issuer).await?;
    issuer.asked().await?.answer(&json!({ "keys": [known.jwk()] }))?;
    eventually("the key is known", LIMIT, async || {
        ensure!(fetches(&gateway, "fetched").await? == Some(1.0), "it is not");
        anyhow::Ok(())
    })
    .await?;

    // Many keys that nobody knows: one request, which is not answered.
    let mut strangers = Vec::new();
    for number in 0..STRANGERS {
        let mut client = Client::connect(&gateway.ws_url()).await?;
        client.set_limit(LIMIT * 2);
        let token = Signer::new(&number.to_string())?.token()?;
        client
            .send(&json!({ "id": 1, "connect": { "token": token } }))
            .await?;
        strangers.push(client);
    }
    let slow = issuer.asked().await?;
    is_let_in(&gateway, &known.token()?).await?;
    for client in &mut strangers {
        let reply = client.recv().await?;
        ensure!(code(&reply) == 100, "{reply}");
    }
    drop(slow);

    drop(issuer);
    is_let_in(&gateway, &known.token()?).await?;
    let (mut client, token) = (
        Client::connect(&gateway.ws_url()).await?,
        Signer::new("last")?.token()?,
    );
    client.set_limit(LIMIT * 2);
    let reply = client.request(json!({ "connect": { "token": token } })).await?;
    ensure!(code(&reply) == 100, "{reply}");
    // One request in 5 s, however many ask for keys.
    let most = began.elapsed().as_secs_f64() / 5.0 + 1.0;
    let failed = fetches(&gateway, "failed").await?.context("none failed")?;
    ensure!(
        failed + 1.0 <= most,
        "{failed} failed, of {most} requests at most"
    );
    is_let_in(&gateway, &known.token()?).await
}
