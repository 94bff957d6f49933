//! Tokens signed with RSA. Node.js makes the keys: ring, which checks the signatures, makes none, and the crate that would has an
//! open advisory (RUSTSEC-2023-0071).

use std::process::Command;

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use natter_gateway::token::install_crypto;
use natter_tests::backend::Backend;
use natter_tests::tools;
use natter_tests::wait::eventually;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{connect, refused, token_by};
use crate::scene::{LIMIT, gateway};

const MAKE: &str = "
const pair = require('crypto').generateKeyPairSync('rsa', { modulusLength: Number(process.argv[1]) });
const part = (text) => Buffer.from(JSON.stringify(text)).toString('base64url');
const signed = part({ alg: 'RS256', kid: 'rsa' }) + '.' + part({ sub: 'ann' });
console.log(JSON.stringify({
  private: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  public: pair.publicKey.export({ type: 'spki', format: 'pem' }),
  token: signed + '.' + require('crypto').sign('sha256', signed, pair.privateKey).toString('base64url'),
  jwk: pair.publicKey.export({ format: 'jwk' }),
}));";

#[derive(Deserialize)]
struct Pair {
    private: String,
    public: String,
    /// Signed by Node.js, with RS256.
    token: String,
    jwk: Value,
}

impl Pair {
    fn new(bits: u32) -> Result<Self> {
        let made = Command::new(tools::node()?)
            .args(["-e", MAKE, &bits.to_string()])
            .output()
            .context("cannot run Node.js")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(serde_json::from_slice(&made.stdout)?)
    }

    fn token(&self, algorithm: Algorithm) -> Result<String> {
        install_crypto();
        let key = EncodingKey::from_rsa_pem(self.private.as_bytes())?;
        let header = Header {
            kid: Some("rsa".to_owned()),
            ..Header::new(algorithm)
        };
        Ok(encode(&header, &json!({ "sub": "ann" }), &key)?)
    }
}

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[tokio::test]
async fn a_key_in_a_file_admits_what_it_has_signed_and_is_no_secret() -> Result<()> {
    let (pair, other) = (Pair::new(2048)?, Pair::new(2048)?);
    let folder = TempDir::new()?;
    let file = folder.path().join("keys.pem");
    std::fs::write(&file, &pair.public)?;
    let gateway = gateway(&format!(
        "tokens: [{{name: idp, public_keys_file: '{}'}}]",
        file.display()
    ))
    .await?;
    for algorithm in ALGORITHMS {
        let (_, reply) = connect(&gateway, &pair.token(algorithm)?).await?;
        ensure!(reply.get("connect").is_some(), "{algorithm:?}: {reply}");
        assert_eq!(refused(&gateway, &other.token(algorithm)?).await?.0, 3500);
    }
    // The public key as a secret, the oldest trick of all.
    let forged = token_by(&pair.public, &json!({ "sub": "ann" }))?;
    assert_eq!(refused(&gateway, &forged).await?.0, 3500);
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_published_admits_too_unless_it_is_short() -> Result<()> {
    let (pair, short) = (Pair::new(3072)?, Pair::new(1024)?);
    let mut issuer = Backend::start().await?;
    let gateway = gateway(&format!("tokens: [{{name: idp, jwks_url: '{}'}}]", issuer.url())).await?;
    let mut keys = [pair.jwk.clone(), short.jwk.clone()];
    keys[0]["kid"] = "rsa".into();
    keys[1]["kid"] = "rsa".into();
    issuer.asked().await?.answer(&json!({ "keys": keys }))?;
    eventually("the keys are known", LIMIT, async || {
        let (_, reply) = connect(&gateway, &pair.token(Algorithm::RS256)?).await?;
        ensure!(reply.get("connect").is_some(), "{reply}");
        anyhow::Ok(())
    })
    .await?;
    for algorithm in ALGORITHMS {
        let (_, reply) = connect(&gateway, &pair.token(algorithm)?).await?;
        ensure!(reply.get("connect").is_some(), "{algorithm:?}: {reply}");
    }
    let (_, reply) = connect(&gateway, &pair.token).await?;
    ensure!(reply.get("connect").is_some(), "{reply}");
    // Fewer bits than 2048 are no proof any more.
    assert_eq!(refused(&gateway, &short.token).await?.0, 3500);
    Ok(())
}
