//! One request to a backend over HTTP/1.1: connections are kept for the next one, redirects are not followed.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::{ProxySettings, ProxyUrl};

/// How long a connection is kept unused: less than the 5 s of Node.js, the shortest of the usual servers, so that a request
/// seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: ProxyUrl,
    answer_max_size: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The backend saw nothing of it.
    #[error("the request could not be sent: {0}")]
    Unsent(String),
    /// It may have seen all of it.
    #[error("the connection ended: {0}")]
    Cut(String),
    #[error("it was answered with status {0}")]
    Status(StatusCode),
    #[error("the answer is too large")]
    TooLarge,
}

impl Http {
    pub(super) fn new(settings: &ProxySettings) -> io::Result<Self> {
        // The settings were validated: without an endpoint there is no proxy.
        let endpoint = settings.endpoint.clone().ok_or(io::ErrorKind::InvalidInput)?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings, &endpoint)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.max_in_flight)
            .build(connector);
        Ok(Self {
            client,
            endpoint,
            answer_max_size: settings.answer_max_size,
        })
    }

    /// The body of the answer.
    pub(super) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Bytes, Failed> {
        let mut request = Request::post(self.endpoint.uri().clone())
            .body(Full::new(body))
            .map_err(|error| Failed::Unsent(error.to_string()))?;
        *request.headers_mut() = headers;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| failed(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(Failed::Status(answer.status()));
        }
        let read = Limited::new(answer.into_body(), self.answer_max_size).collect();
        read.await.map(Collected::to_bytes).map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failed::TooLarge
            } else {
                Failed::Cut(error.to_string())
            }
        })
    }
}

fn failed(error: &hyper_util::client::legacy::Error) -> Failed {
    let source = std::error::Error::source(error);
    let is_unsent = error.is_connect()
        || source
            .and_then(|source| source.downcast_ref::<hyper::Error>())
            .is_some_and(hyper::Error::is_canceled);
    // The first error says only that there is another.
    let text = chain(error);
    if is_unsent {
        Failed::Unsent(text)
    } else {
        Failed::Cut(text)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn tls(settings: &ProxySettings, endpoint: &ProxyUrl) -> io::Result<ClientConfig> {
    let authorities = match &settings.ca_file {
        _ if !endpoint.is_secure() => RootCertStore::empty(),
        Some(file) => of_file(file)?,
        None => of_system()?,
    };
    // Named, because a process may have several.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
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
