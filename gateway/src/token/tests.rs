//! Tokens against issuers with keys of every kind.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, SignatureAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Far beyond all tests, and long ago.
const LATER: u64 = 4_000_000_000;
const BEFORE: u64 = 1_000_000_000;

struct World {
    tokens: Arc<Tokens>,
    _folder: TempDir,
}

fn secret() -> IssuerSettings {
    IssuerSettings {
        name: "backend".to_owned(),
        hmac_secrets: vec![SECRET.to_owned().into()],
        ..IssuerSettings::default()
    }
}

fn tokens(issuers: &[IssuerSettings]) -> Arc<Tokens> {
    let metrics = Metrics::new().unwrap();
    let tokens = Arc::new(Tokens::new(
        metrics.tokens.clone(),
        Arc::new(LogBudget::new(10)),
        Handle::current(),
    ));
    tokens.apply(tokens.prepare(issuers).unwrap());
    tokens
}

fn signed(claims: &Value) -> String {
    signed_with(
        Algorithm::HS256,
        &EncodingKey::from_secret(SECRET.as_bytes()),
        claims,
    )
}

fn signed_with(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    install_crypto();
    encode(&Header::new(algorithm), claims, key).unwrap()
}

fn connection(tokens: &Arc<Tokens>, token: &str) -> Result<ConnectionToken, TokenError> {
    match tokens.connection(token) {
        Checked::Now(result) => result,
        Checked::Later(_) => panic!("a key is missing"),
    }
}

fn error(tokens: &Arc<Tokens>, token: &str) -> Option<TokenError> {
    connection(tokens, token).err()
}

/// A file with the public keys of these pairs.
fn public_keys(pairs: &[&KeyPair]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    let texts: Vec<String> = pairs.iter().map(|pair| pair.public_key_pem()).collect();
    std::fs::write(&path, texts.concat()).unwrap();
    (folder, path)
}

fn world(pairs: &[&KeyPair]) -> World {
    let (folder, path) = public_keys(pairs);
    let issuer = IssuerSettings {
        name: "keys".to_owned(),
        public_keys_file: Some(path),
        ..IssuerSettings::default()
    };
    World {
        tokens: tokens(&[issuer]),
        _folder: folder,
    }
}

fn pair(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

#[tokio::test]
async fn claims_say_what_the_connection_is_to_be() {
    let tokens = tokens(&[secret()]);
    let token = connection(
        &tokens,
        &signed(&json!({
            "sub": "ann", "exp": LATER, "iat": 7, "jti": "t1", "info": { "name": "Ann" }, "meta": { "role": "admin" },
            "channels": ["news"], "subs": { "chat": { "info": 1, "override": { "force_recovery": { "value": true } } } },
        })),
    )
    .unwrap();
    let connected = &token.connected;
    assert_eq!(connected.user.as_deref(), Some("ann"));
    assert_eq!(connected.expire_at, LATER);
    assert_eq!(connected.info.as_deref(), Some(br#"{"name":"Ann"}"#.as_slice()));
    assert_eq!(connected.channels, ["news"]);
    assert_eq!(connected.subs["chat"].force_recovery, Some(true));
    assert_eq!(connected.meta.as_ref().unwrap().get(), r#"{"role":"admin"}"#);
    assert_eq!((&*token.id, token.issued_at), ("t1", 7));
}

#[tokio::test]
async fn a_token_without_a_user_is_of_an_anonymous_client() {
    let tokens = tokens(&[secret()]);
    let token = connection(&tokens, &signed(&json!({}))).unwrap();
    assert_eq!(token.connected.user.as_deref(), Some(""));
    assert_eq!(token.connected.expire_at, 0);
}

#[tokio::test]
async fn times_are_kept() {
    let tokens = tokens(&[secret()]);
    for (claims, expected) in [
        (json!({ "exp": BEFORE }), Some(TokenError::Expired)),
        (json!({ "exp": 1_000_000_000.5 }), Some(TokenError::Expired)),
        (json!({ "exp": -1 }), Some(TokenError::Expired)),
        (json!({ "nbf": LATER }), Some(TokenError::Early)),
        (json!({ "expire_at": BEFORE }), Some(TokenError::Expired)),
        (json!({ "expire_at": -1 }), Some(TokenError::Malformed)),
        (json!({ "exp": LATER, "nbf": BEFORE, "iat": LATER }), None),
        (json!({ "exp": "tomorrow" }), Some(TokenError::Malformed)),
    ] {
        assert_eq!(error(&tokens, &signed(&claims)), expected, "{claims}");
    }
    let end = |claims: Value| connection(&tokens, &signed(&claims)).unwrap().connected.expire_at;
    assert_eq!(end(json!({ "exp": LATER, "expire_at": LATER + 1 })), LATER + 1);
    assert_eq!(end(json!({ "exp": LATER, "expire_at": 0 })), 0, "it never ends");
}

#[tokio::test]
async fn clocks_may_differ_by_the_leeway() {
    let now = crate::clock::unix_now();
    let token = signed(&json!({ "exp": now - 5, "nbf": now + 5 }));
    let strict = tokens(&[secret()]);
    assert_eq!(error(&strict, &token), Some(TokenError::Expired));
    let lenient = tokens(&[IssuerSettings {
        leeway: Duration::from_mins(1),
        ..secret()
    }]);
    let end = connection(&lenient, &token).unwrap().connected.expire_at;
    assert_eq!(end, now - 5 + 60);
}

#[tokio::test]
async fn issuer_and_audience_have_to_fit() {
    let tokens = tokens(&[IssuerSettings {
        issuer: Some("https://id".to_owned()),
        audience: Some("chat".to_owned()),
        user_claim: "email".to_owned(),
        ..secret()
    }]);
    for (claims, expected) in [
        (
            json!({ "iss": "https://id", "aud": "chat", "email": "a@b" }),
            None,
        ),
        (
            json!({ "iss": "https://id", "aud": ["x", "chat"], "email": "a@b" }),
            None,
        ),
        (
            json!({ "iss": "https://id", "aud": "x", "email": "a@b" }),
            Some(TokenError::Audience),
        ),
        (
            json!({ "iss": "https://id", "email": "a@b" }),
            Some(TokenError::Audience),
        ),
        (
            json!({ "iss": "https://other", "aud": "chat" }),
            Some(TokenError::Issuer),
        ),
        (json!({ "aud": "chat" }), Some(TokenError::Issuer)),
        (
            json!({ "iss": "https://id", "aud": "chat", "sub": "a" }),
            Some(TokenError::Malformed),
        ),
    ] {
        assert_eq!(error(&tokens, &signed(&claims)), expected, "{claims}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let tokens = tokens(&[secret()]);
    let good = signed(&json!({ "sub": "ann" }));
    let [head, body, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    // {"alg":"none"}
    let none = format!("eyJhbGciOiJub25lIn0.{body}.");
    // {"alg":"HS256","crit":["exp"]}
    let critical = format!("eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiZXhwIl19.{body}.{signature}");
    let long = format!("{head}.{}.{signature}", "A".repeat(MAX_SIZE));
    for token in [
        "",
        ".",
        "..",
        "a.b.c",
        &none,
        &critical,
        &long,
        &format!("{head}.{body}"),
        &format!("{good}.x"),
        &format!("{head}.{body}.?"),
        &signed(&json!([])),
        &signed(&json!("ann")),
        &signed(&json!({ "sub": 42 })),
        &signed(&json!({ "channels": "news" })),
        &signed(&json!({ "b64info": "?" })),
    ] {
        assert_eq!(error(&tokens, token), Some(TokenError::Malformed), "{token:.80}");
    }
    for token in [
        format!("{head}.{body}."),
        format!("{head}.{body}.AAAA"),
        signed_with(
            Algorithm::HS256,
            &EncodingKey::from_secret(b"another"),
            &json!({ "sub": "ann" }),
        ),
    ] {
        assert_eq!(error(&tokens, &token), Some(TokenError::Signature), "{token}");
    }
}

#[tokio::test]
async fn keys_of_every_kind_verify_and_sign_for_nobody_else() {
    let pairs = [
        pair(&rcgen::PKCS_ECDSA_P256_SHA256),
        pair(&rcgen::PKCS_ECDSA_P384_SHA384),
        pair(&rcgen::PKCS_ED25519),
    ];
    let world = world(&[&pairs[0], &pairs[1], &pairs[2]]);
    let claims = json!({ "sub": "ann" });
    let sign = |pair: &KeyPair, algorithm| {
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        signed_with(algorithm, &key.unwrap(), &claims)
    };
    for (pair, algorithm) in pairs
        .iter()
        .zip([Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA])
    {
        let token = sign(pair, algorithm);
        assert_eq!(error(&world.tokens, &token), None, "{algorithm:?}");
        let stranger = self::pair(pair.algorithm());
        let token = sign(&stranger, algorithm);
        assert_eq!(
            error(&world.tokens, &token),
            Some(TokenError::Signature),
            "{algorithm:?}"
        );
    }
    // The public key is known to everybody: it must not be taken for a secret.
    let public = pairs[0].public_key_pem();
    let forged = signed_with(
        Algorithm::HS256,
        &EncodingKey::from_secret(public.as_bytes()),
        &claims,
    );
    assert_eq!(error(&world.tokens, &forged), Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn an_issuer_signs_what_it_may() {
    let tokens = tokens(&[IssuerSettings {
        signs: Signs::Subscriptions,
        ..secret()
    }]);
    let token = signed(&json!({ "sub": "ann", "channel": "$room", "data": { "a": 1 } }));
    assert_eq!(error(&tokens, &token), Some(TokenError::Issuer));
    assert!(!tokens.are_taken(Purpose::Connection) && tokens.are_taken(Purpose::Subscription));
    let Checked::Now(Ok(token)) = tokens.subscription(&token, false) else {
        panic!("it is refused");
    };
    assert_eq!((token.user.as_str(), token.channel.as_str()), ("ann", "$room"));
    assert_eq!(token.subscribed.data.as_deref(), Some(br#"{"a":1}"#.as_slice()));
    let Checked::Now(Err(refused)) = tokens.subscription(&signed(&json!({ "sub": "ann" })), false) else {
        panic!("it names no room");
    };
    assert_eq!(refused, TokenError::Malformed);
}

#[tokio::test]
async fn several_secrets_and_issuers_stand_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    std::fs::write(&path, format!("\n{SECRET}\n another-secret \n")).unwrap();
    let of_file = IssuerSettings {
        name: "file".to_owned(),
        hmac_secrets_file: Some(path.clone()),
        ..IssuerSettings::default()
    };
    let other = IssuerSettings {
        hmac_secrets: vec!["third".to_owned().into()],
        ..secret()
    };
    let tokens = tokens(&[other, of_file.clone()]);
    for secret in [SECRET, "another-secret", "third"] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = signed_with(Algorithm::HS512, &key, &json!({}));
        assert_eq!(error(&tokens, &token), None, "{secret}");
    }
    std::fs::write(&path, "\n").unwrap();
    let refused = tokens.prepare(&[IssuerSettings {
        leeway: Duration::from_secs(1),
        ..of_file
    }]);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("no key"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_and_a_broken_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    std::fs::write(&path, "old").unwrap();
    let tokens = tokens(&[IssuerSettings {
        name: "file".to_owned(),
        hmac_secrets_file: Some(path.clone()),
        ..IssuerSettings::default()
    }]);
    let is_good = |secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        error(&tokens, &signed_with(Algorithm::HS256, &key, &json!({}))).is_none()
    };
    assert!(is_good("old") && !is_good("new"));
    std::fs::write(&path, "new").unwrap();
    assert!(is_good("old"), "it was read a moment ago");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(is_good("new") && !is_good("old"));
    for text in ["", "\n\n"] {
        std::fs::write(&path, text).unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(is_good("new"), "{text:?}");
    }
}
