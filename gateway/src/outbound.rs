//! The HTTP client of what the gateway asks others by itself: HTTP/1.1, connections kept for the next request, redirects not
//! followed.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// How long a connection is kept unused: less than the 5 s of Node.js, the shortest of the usual servers, so that a request
/// seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The authorities that are trusted with https.
#[derive(Clone, Copy, Debug)]
pub enum Authorities<'a> {
    /// Only http is asked.
    None,
    /// Those of a file, in PEM.
    File(&'a Path),
    System,
}

impl<'a> Authorities<'a> {
    /// `is_secure`: whether https is asked.
    pub fn of(is_secure: bool, file: Option<&'a Path>) -> Self {
        match file {
            _ if !is_secure => Self::None,
            Some(file) => Self::File(file),
            None => Self::System,
        }
    }

    fn load(self) -> io::Result<RootCertStore> {
        match self {
            Self::None => Ok(RootCertStore::empty()),
            Self::File(file) => of_file(file),
            Self::System => of_system(),
        }
    }
}

/// A certificate that is shown, and its key: files in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
}

/// # Errors
/// The authorities or the certificate cannot be read, or there are none.
pub fn client(
    authorities: Authorities<'_>,
    identity: Option<Identity<'_>>,
    idle_connections: usize,
) -> io::Result<HttpClient> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(authorities.load()?, identity)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(idle_connections)
        .build(connector))
}

/// An error with its causes: the first one often says only that there is another.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn tls(authorities: RootCertStore, identity: Option<Identity<'_>>) -> io::Result<ClientConfig> {
    // Named, because a process may have several.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = builder.with_root_certificates(authorities);
    let Some(Identity { certificate, key }) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let bad =
        |file: &Path, error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let config = builder.with_client_auth_cert(chain, private);
    config.map_err(|error| bad(certificate, &error))
}

fn of_file(file: &Path) -> io::Result<RootCertStore> {
    let bad = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(&error))? {
        let certificate = certificate.map_err(|error| bad(&error))?;
        authorities.add(certificate).map_err(|error| bad(&error))?;
    }
    if authorities.is_empty() {
        return Err(bad(&"no certificate"));
    }
    Ok(authorities)
}

/// One that cannot be read keeps nobody from using the others.
fn of_system() -> io::Result<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let error = found.errors.into_iter().next();
        let error = error.map_or_else(String::new, |error| format!(" ({error})"));
        return Err(io::Error::other(format!(
            "the system has no authorities, and there is no ca_file{error}"
        )));
    }
    Ok(authorities)
}
