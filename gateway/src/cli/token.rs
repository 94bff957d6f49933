//! `natter-gateway token`: a token for development and tests, signed as the backend would.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueHint};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};

use super::Flags;
use crate::{clock::since_epoch, config::Settings, token};

#[derive(Args)]
pub(super) struct Token {
    #[command(flatten)]
    pub(super) flags: Flags,
    /// Whose token it is, a name of `tokens` [default: the first that has a secret]
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Private key in PEM (RSA, ECDSA with P-256 or P-384, Ed25519) to sign with, in place of a secret
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    private_key_file: Option<PathBuf>,
    /// Id of the key in the token's header
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// User of the token; without one it is of an anonymous client
    #[arg(long, value_name = "ID", default_value = "")]
    user: String,
    /// Room of a subscription token; without one it is for a connection
    #[arg(long, value_name = "ROOM")]
    channel: Option<String>,
    /// Time until it expires, 0s for never
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Any other claim, its value in JSON: --claim 'info={"name": "Ann"}' (repeatable)
    #[arg(long, value_name = "NAME=JSON")]
    claim: Vec<String>,
}

impl Token {
    /// The token.
    pub(super) fn make(&self, settings: &Settings) -> io::Result<String> {
        token::install_crypto();
        let (key, algorithm, claims) = self.parts(settings)?;
        let mut header = Header::new(algorithm);
        header.kid.clone_from(&self.key_id);
        encode(&header, &claims, &key).map_err(|error| wrong(format!("cannot sign: {error}")))
    }

    fn parts(&self, settings: &Settings) -> io::Result<(EncodingKey, Algorithm, Value)> {
        let issuer = settings.tokens.iter().find(|issuer| match &self.issuer {
            Some(name) => issuer.name == *name,
            None => self.private_key_file.is_some() || !issuer.hmac_secrets.is_empty(),
        });
        let mut claims = Map::new();
        let user_claim = issuer.map_or("sub", |issuer| issuer.user_claim.as_str());
        claims.insert(user_claim.to_owned(), self.user.clone().into());
        for (name, value) in [
            ("iss", issuer.and_then(|issuer| issuer.issuer.clone())),
            ("aud", issuer.and_then(|issuer| issuer.audience.clone())),
            ("channel", self.channel.clone()),
        ] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.into());
            }
        }
        let now = since_epoch();
        claims.insert("iat".to_owned(), now.as_secs().into());
        if !self.expires.is_zero() {
            claims.insert("exp".to_owned(), (now + self.expires).as_secs().into());
        }
        for claim in &self.claim {
            let (name, value) = (claim.split_once('='))
                .ok_or_else(|| wrong(format!("--claim {claim:?} is not NAME=JSON")))?;
            let value = serde_json::from_str(value)
                .map_err(|error| wrong(format!("--claim {name}: its value is no JSON: {error}")))?;
            claims.insert(name.to_owned(), value);
        }
        let (key, algorithm) = if let Some(file) = &self.private_key_file {
            private_key(file)?
        } else {
            let secret = issuer.and_then(|issuer| issuer.hmac_secrets.first());
            let secret = secret
                .ok_or_else(|| wrong("no entry of `tokens` has hmac_secrets; name a --private-key-file"))?;
            (EncodingKey::from_secret(secret.bytes()), Algorithm::HS256)
        };
        Ok((key, algorithm, claims.into()))
    }
}

fn wrong(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}

fn private_key(file: &Path) -> io::Result<(EncodingKey, Algorithm)> {
    let text = fs::read(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    // An elliptic key does not say here on which curve it is: whichever signs.
    let kinds = [
        (EncodingKey::from_rsa_pem(&text), Algorithm::RS256),
        (EncodingKey::from_ec_pem(&text), Algorithm::ES256),
        (EncodingKey::from_ec_pem(&text), Algorithm::ES384),
        (EncodingKey::from_ed_pem(&text), Algorithm::EdDSA),
    ];
    kinds
        .into_iter()
        .filter_map(|(key, algorithm)| Some((key.ok()?, algorithm)))
        .find(|(key, algorithm)| encode(&Header::new(*algorithm), &Map::new(), key).is_ok())
        .ok_or_else(|| wrong(format!("{} holds no private key that can sign", file.display())))
}
