//! Keys that stand in files: read anew while tokens are checked, so that a key is changed by changing its file.

use std::{fs, path::Path, sync::Arc, time::Duration};

use jsonwebtoken::DecodingKey;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::{
    KeysError,
    issuer::{Key, MAX_KEYS, of_secret},
};
use crate::config::IssuerSettings;

/// How soon a file that was replaced is read again.
const FRESH: Duration = Duration::from_secs(5);
const PEM_BEGIN: &str = "-----BEGIN ";

pub(super) struct Files {
    settings: IssuerSettings,
    read: Mutex<(Instant, Arc<Vec<Key>>)>,
}

impl Files {
    pub(super) fn new(settings: &IssuerSettings) -> Result<Self, KeysError> {
        let keys = read_all(settings)?;
        Ok(Self {
            settings: settings.clone(),
            read: Mutex::new((Instant::now(), Arc::new(keys))),
        })
    }

    /// A file that became unusable leaves what was read of all before.
    pub(super) fn keys(&self) -> Arc<Vec<Key>> {
        let mut known = self.read.lock();
        if known.0.elapsed() >= FRESH && self.are_there() {
            known.0 = Instant::now();
            match read_all(&self.settings) {
                Ok(keys) => known.1 = Arc::new(keys),
                Err(error) => warn!(%error, "keys of tokens stay as they were"),
            }
        }
        known.1.clone()
    }

    fn are_there(&self) -> bool {
        self.settings.hmac_secrets_file.is_some() || self.settings.public_keys_file.is_some()
    }
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
            Ok(Key { id: None, key })
        })
        .collect()
}
