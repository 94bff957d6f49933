//! Tokens of clients: no panic and an end, whatever the text; what is not signed by the issuer is never accepted.
//!
//! The first byte says what the rest is: a whole token, or the two parts in front of a signature, which is then right for an
//! issuer with a shared secret. Only so what stands behind the signature is read.

#![no_main]

use std::sync::{Arc, LazyLock};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use natter_gateway::{
    config::Loader,
    metrics::Metrics,
    telemetry::LogBudget,
    token::{Checked, Tokens},
};
use ring::hmac;
use tokio::runtime::Runtime;

const SECRET: &str = "the secret of the fuzzer, long enough";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
});

static TOKENS: LazyLock<Arc<Tokens>> = LazyLock::new(|| {
    let issuers = format!("[{{name: any, hmac_secrets: ['{SECRET}']}}]");
    let settings = Loader::new([("NATTER_TOKENS", issuers.as_str())].into_iter().collect())
        .load()
        .unwrap_or_else(|errors| panic!("{errors}"));
    let metrics = Metrics::new().expect("metrics").tokens;
    let tokens = Tokens::new(metrics, Arc::new(LogBudget::new(0)), RUNTIME.handle().clone());
    let prepared = tokens.prepare(&settings.tokens).expect("issuers");
    tokens.apply(prepared);
    Arc::new(tokens)
});

/// Whether it is accepted as a token of any kind.
fn check(token: &str) -> bool {
    let subscription = |takes_bytes| matches!(TOKENS.subscription(token, takes_bytes), Checked::Now(Ok(_)));
    let accepted = [
        matches!(TOKENS.connection(token), Checked::Now(Ok(_))),
        subscription(false),
        subscription(true),
    ];
    accepted.contains(&true)
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    if kind % 2 == 0 {
        // The fuzzer does not find a signature.
        assert!(!check(text), "accepted: {text}");
        return;
    }
    let (header, claims) = text.split_once('\n').unwrap_or((r#"{"alg":"HS256"}"#, text));
    let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    check(&format!("{signed}.{signature}"));
    assert!(!check(&format!("{signed}.")), "accepted without a signature");
});
