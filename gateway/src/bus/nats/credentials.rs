//! Logging in at NATS: with what stands in the URLs of its servers, of which the client itself reads the hosts only, or with
//! files.
//!
//! Files are read at every connection, so that what was renewed on the disk is used from the next one on. NATS ends the
//! connection of a login that has expired, and that makes the next one.

use std::{
    fs,
    future::ready,
    io,
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

/// What a gateway shows to the servers that it connects to, which all have the same credentials.
#[derive(Clone)]
pub(super) struct Login {
    /// User and password, or a token, of the servers' URLs.
    address: Auth,
    files: NatsFiles,
    /// Every URL says `tls://`.
    is_tls_everywhere: bool,
}

impl Login {
    pub(super) fn new(servers: &[ServerAddr], files: NatsFiles) -> Self {
        Self {
            address: servers.first().map(of_address).unwrap_or_default(),
            files,
            is_tls_everywhere: !servers.is_empty() && servers.iter().all(ServerAddr::tls_required),
        }
    }

    /// Options of a connection that logs in so.
    pub(super) fn options(&self) -> ConnectOptions {
        let login = self.clone();
        let mut options = ConnectOptions::with_auth_callback(move |nonce| ready(login.answer(&nonce)));
        if let Some(authority) = &self.files.authority {
            options = options.add_root_certificates(authority.clone());
        }
        if let Some((certificate, key)) = &self.files.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        options.require_tls(self.requires_tls())
    }

    /// Whoever names certificates, or nothing but `tls://`, does not want to go without. That holds for the servers that
    /// the cluster names too: their addresses have no scheme, and the login goes to them as well.
    pub(super) fn requires_tls(&self) -> bool {
        self.is_tls_everywhere || self.files.authority.is_some() || self.files.certificate.is_some()
    }

    pub(super) fn files(&self) -> &NatsFiles {
        &self.files
    }

    /// Answers the challenge of a server, which may be empty where nobody has to sign.
    pub(super) fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        match &self.files.credentials {
            Some(file) => sign(file, nonce),
            None => Ok(self.address.clone()),
        }
    }
}

/// The addresses without what stands in them to log in with: the client writes them into its log.
pub(super) fn without_login(servers: &[ServerAddr]) -> io::Result<Vec<ServerAddr>> {
    let bare = servers.iter().map(|server| {
        let mut url = server.clone().into_inner();
        // Every address has a host, and so may have none.
        let is_bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
        let refused = || io::Error::from(io::ErrorKind::InvalidInput);
        is_bare
            .then_some(url)
            .ok_or_else(refused)
            .and_then(ServerAddr::from_url)
    });
    bare.collect()
}

/// A token stands where there is no password.
fn of_address(server: &ServerAddr) -> Auth {
    let mut auth = Auth::new();
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            auth.username = Some(decoded(user));
            auth.password = Some(decoded(password));
        }
        (Some(token), None) => auth.token = Some(decoded(token)),
        (None, _) => {}
    }
    auth
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Signs the challenge of a server. Nothing of the file's text is in an error.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_as_it_was_but_for_its_login() {
        let urls = [
            "nats://user:pass@a:1",
            "tls://token@b",
            "nats://c:4222",
            "nats://u:p%40@[::1]:5",
        ];
        let servers: Vec<ServerAddr> = urls.iter().map(|url| url.parse().unwrap()).collect();
        let bare = without_login(&servers).unwrap();
        let shown: Vec<_> = bare.iter().map(|server| server.as_url_str().to_owned()).collect();
        assert_eq!(
            shown,
            ["nats://a:1", "tls://b", "nats://c:4222", "nats://[::1]:5"]
        );
    }

    #[test]
    fn tls_is_required_where_nothing_else_was_named() {
        let requires = |urls: &[&str]| {
            let servers: Vec<ServerAddr> = urls.iter().map(|url| url.parse().unwrap()).collect();
            Login::new(&servers, NatsFiles::default()).requires_tls()
        };
        assert!(requires(&["tls://a", "tls://b"]));
        for open in [&["nats://a"][..], &["tls://a", "nats://b"], &[]] {
            assert!(!requires(open), "{open:?}");
        }
    }
}
