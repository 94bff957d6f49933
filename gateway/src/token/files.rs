//! Keys that stand in files: read anew while tokens are checked, so that a key is changed by changing its file.

use std::{fs, path::Path, time::Duration};

use jsonwebtoken::DecodingKey;

use super::{
    KeysError,
    issuer::{Key, MAX_KEYS, of_secret},
};
use crate::{config::IssuerSettings, watched_file::WatchedFile};

/// How soon a file that was replaced is read again.
const FRESH: Duration = Duration::from_secs(5);
const PEM_BEGIN: &str = "-----BEGIN ";

/// The keys of an issuer's files; `None`: it has none. What became unusable leaves what was read of all before.
pub(super) fn watched(settings: &IssuerSettings) -> Result<Option<WatchedFile<Vec<Key>>>, KeysError> {
    if settings.hmac_secrets_file.is_none() && settings.public_keys_file.is_none() {
        return Ok(None);
    }
    let settings = settings.clone();
    WatchedFile::open("keys of tokens", FRESH, move || read_all(&settings)).map(Some)
}

fn read_all(settings: &IssuerSettings) -> Result<Vec<Key>, KeysError> {
    let mut keys = Vec::new();
    if let Some(path) = &settings.hmac_secrets_file {
        keys.extend(of_file(settings, path, |text| Ok(secrets(text)))?);
    }
    if let Some(path) = &settings.public_keys_file {
        keys.extend(of_file(settings, path, public_keys)?);
    }
    Ok(keys)
}

fn of_file(
    settings: &IssuerSettings,
    path: &Path,
    parse: impl FnOnce(&str) -> Result<Vec<Key>, &'static str>,
) -> Result<Vec<Key>, KeysError> {
    let text = fs::read_to_string(path).map_err(|source| KeysError::Read {
        name: settings.name.clone(),
        path: path.to_owned(),
        source,
    })?;
    let keys = parse(&text).and_then(|keys| match keys.len() {
        0 => Err("no key"),
        1..=MAX_KEYS => Ok(keys),
        _ => Err("more than 64 keys"),
    });
    keys.map_err(|problem| KeysError::Content {
        name: settings.name.clone(),
        path: path.to_owned(),
        problem,
    })
}

/// One a line.
fn secrets(text: &str) -> Vec<Key> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| of_secret(line.as_bytes())).collect()
}

/// PEM: RSA, ECDSA with P-256 or P-384, Ed25519.
fn public_keys(text: &str) -> Result<Vec<Key>, &'static str> {
    let starts: Vec<usize> = text.match_indices(PEM_BEGIN).map(|(start, _)| start).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]);
    parts
        .map(|part| {
            let key = [
                DecodingKey::from_rsa_pem,
                DecodingKey::from_ec_pem,
                DecodingKey::from_ed_pem,
            ]
            .into_iter()
            .find_map(|read| read(part.as_bytes()).ok());
            let key = key.ok_or("something else than public keys of RSA, ECDSA or Ed25519")?;
            Ok(Key {
                id: None,
                algorithm: None,
                key,
            })
        })
        .collect()
}
