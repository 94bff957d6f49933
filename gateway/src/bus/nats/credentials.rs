//! Logging in at NATS: with what stands in the URLs of its servers, of which the client itself reads the hosts only, or with
//! files.
//!
//! Files are read at every connection, so that what was renewed on the disk is used from the next one on. NATS ends the
//! connection of a login that has expired, and that makes the next one.

use std::{
    fs,
    future::ready,
    path::{Path, PathBuf},
};

use async_nats::{Auth, AuthError, ConnectOptions, ServerAddr};
use nkeys::KeyPair;
use percent_encoding::percent_decode_str;

use crate::config::NatsSettings;

/// What the seed of a user's key begins with, whoever wrote the file around it.
const USER_SEED: &str = "SU";
/// What a JWT begins with: `{"` in Base64.
const JWT: &str = "eyJ";

/// The files that a connection needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsFiles {
    /// A `.creds` file, with a JWT and the seed of its key, or the seed alone.
    pub credentials: Option<PathBuf>,
    /// Certificates, in PEM, of the authorities that are trusted instead of the system's.
    pub authority: Option<PathBuf>,
    /// Certificate and key, in PEM, that the gateway shows.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl NatsFiles {
    pub fn of(nats: &NatsSettings) -> Self {
        Self {
            credentials: nats.credentials_file.clone(),
            authority: nats.ca_file.clone(),
            certificate: nats.certificate_file.clone().zip(nats.key_file.clone()),
        }
    }
}

/// A connection to these servers, which all have the same credentials: user and password, or a token where there is no
/// password.
pub(super) fn log_in(servers: &[ServerAddr], files: &NatsFiles) -> ConnectOptions {
    let mut options = match &files.credentials {
        Some(file) => {
            let file = file.clone();
            ConnectOptions::with_auth_callback(move |nonce| ready(sign(&file, &nonce)))
        }
        None => with_address(servers),
    };
    if let Some(authority) = &files.authority {
        options = options.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &files.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    // Whoever names certificates does not want to go without them.
    options.require_tls(files.authority.is_some() || files.certificate.is_some())
}

fn with_address(servers: &[ServerAddr]) -> ConnectOptions {
    let options = ConnectOptions::new();
    let Some(server) = servers.first() else {
        return options;
    };
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => options.user_and_password(decoded(user), decoded(password)),
        (Some(token), None) => options.token(decoded(token)),
        (None, _) => options,
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Answers the challenge of a server. Nothing of the file's text is in an error.
fn sign(file: &Path, nonce: &[u8]) -> Result<Auth, AuthError> {
    let failed = |why: String| AuthError::new(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let line = |start: &str| text.lines().map(str::trim).find(|line| line.starts_with(start));
    let seed = line(USER_SEED).ok_or_else(|| failed("holds no seed of a user's key".to_owned()))?;
    let key = KeyPair::from_seed(seed).map_err(|error| failed(error.to_string()))?;
    let mut auth = Auth::new();
    auth.jwt = line(JWT).map(str::to_owned);
    if auth.jwt.is_none() {
        auth.nkey = Some(key.public_key());
    }
    auth.signature = Some(key.sign(nonce).map_err(|error| failed(error.to_string()))?);
    Ok(auth)
}
