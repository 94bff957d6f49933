//! Who signs tokens. Findings name a secret by its place.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use super::SECOND;
use crate::config::{
    error::Problems,
    settings::{IssuerSettings, Settings},
    units::show_duration,
};

/// Beyond it a clock is wrong, and an expired token is not.
const MAX_LEEWAY: Duration = Duration::from_mins(5);
const MAX_ISSUERS: usize = 16;
const MAX_SECRETS: usize = 16;
/// A shorter secret can be guessed by whoever has one token (RFC 7518 section 3.2 asks for as many bytes as the hash has).
const SECRET_LENGTH: usize = 32;

pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    problems.within("tokens", settings.tokens.len(), 0..=MAX_ISSUERS, |count| count);
    let open = !settings.listen.ip().is_loopback() && problems.sound(&["listen"]);
    let mut seen = HashSet::new();
    for (index, issuer) in settings.tokens.iter().enumerate() {
        let path = format!("tokens[{index}]");
        let at = format!("{path}.name");
        if problems.sound(&[&at]) {
            problems.token(&at, &issuer.name);
            if !seen.insert(&issuer.name) {
                let problem = format!("{:?} is there twice", issuer.name);
                problems.add(&at, problem, "one entry for each who signs");
            }
        }
        one(&path, issuer, open, problems);
    }
}

fn one(path: &str, issuer: &IssuerSettings, open: bool, problems: &mut Problems) {
    let at = |key: &str| format!("{path}.{key}");
    let has_keys = !issuer.hmac_secrets.is_empty()
        || issuer.hmac_secrets_file.is_some()
        || issuer.public_keys_file.is_some()
        || issuer.jwks_url.is_some();
    let written = [
        "hmac_secrets",
        "hmac_secrets_file",
        "public_keys_file",
        "jwks_url",
    ]
    .map(at);
    let written: Vec<&str> = written.iter().map(String::as_str).collect();
    if !has_keys && problems.sound(&written) {
        problems.add(
            path,
            "no keys",
            "hmac_secrets, hmac_secrets_file, public_keys_file or jwks_url",
        );
    }
    let count = issuer.hmac_secrets.len();
    problems.within(&at("hmac_secrets"), count, 0..=MAX_SECRETS, |count| count);
    for (index, secret) in issuer.hmac_secrets.iter().enumerate() {
        let length = secret.text().len();
        if length == 0 || (open && length < SECRET_LENGTH) {
            problems.add(
                &at(&format!("hmac_secrets[{index}]")),
                format!("{length} characters can be guessed by whoever has a token"),
                format!("at least {SECRET_LENGTH} characters"),
            );
        }
    }
    let is_empty = |file: &PathBuf| file.as_os_str().is_empty();
    for (key, file) in [
        ("hmac_secrets_file", &issuer.hmac_secrets_file),
        ("public_keys_file", &issuer.public_keys_file),
        ("jwks_ca_file", &issuer.jwks_ca_file),
    ] {
        if file.as_ref().is_some_and(is_empty) {
            problems.add(&at(key), "empty", "the path of a file, or null");
        }
    }
    for (key, text) in [
        ("issuer", issuer.issuer.as_deref()),
        ("audience", issuer.audience.as_deref()),
        ("user_claim", Some(issuer.user_claim.as_str())),
    ] {
        if text == Some("") {
            problems.add(&at(key), "empty", "text, or the default");
        }
    }
    problems.duration(&at("jwks_refresh"), issuer.jwks_refresh, SECOND * 10);
    problems.within(
        &at("leeway"),
        issuer.leeway,
        Duration::ZERO..=MAX_LEEWAY,
        show_duration,
    );
}
