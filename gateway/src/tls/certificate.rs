//! From files to what handshakes need.

use std::{fs, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::TlsError;
use crate::{
    clock::unix_now,
    config::{Secret, TlsSettings},
};

/// What is spoken on the port (RFC 7301); a WebSocket begins with HTTP/1.1.
const PROTOCOL: &[u8] = b"http/1.1";

/// The files as they were read.
#[derive(Clone, PartialEq)]
pub(super) struct Pair {
    settings: TlsSettings,
    certificate: String,
    key: Secret,
    client_authorities: Option<String>,
}

pub(super) struct Config {
    pub(super) server: Arc<ServerConfig>,
    /// When the certificate ends, as a Unix time in seconds.
    pub(super) not_after: i64,
}

impl Config {
    pub(super) fn has_ended(&self) -> bool {
        u64::try_from(self.not_after).unwrap_or(0) <= unix_now()
    }
}

impl Pair {
    /// `None`: none is configured.
    pub(super) fn read(settings: &TlsSettings) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key)) = (&settings.certificate_file, &settings.key_file) else {
            return Ok(None);
        };
        let client_authorities = settings.client_ca_file.as_deref().map(read);
        Ok(Some(Self {
            settings: settings.clone(),
            certificate: read(certificate)?,
            key: read(key)?.into(),
            client_authorities: client_authorities.transpose()?,
        }))
    }

    pub(super) fn config(&self) -> Result<Config, TlsError> {
        let chain = self.chain()?;
        let not_after =
            not_after(&chain).ok_or_else(|| self.bad_certificate("no certificate that can be read"))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        let builder = match self.verifier()? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut server = builder
            .with_single_cert(chain, self.private_key()?)
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Tickets hold what is needed to resume: the gateway keeps nothing for clients that are gone.
        server.ticketer = ring::Ticketer::new().map_err(|error| TlsError::Pair(error.to_string()))?;
        Ok(Config {
            server: Arc::new(server),
            not_after,
        })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain =
            CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) => Err(self.bad_certificate("no certificate in PEM")),
            Err(error) => Err(self.bad_certificate(&error.to_string())),
        }
    }

    fn bad_certificate(&self, problem: &str) -> TlsError {
        TlsError::Content {
            path: self.settings.certificate_file.clone().unwrap_or_default(),
            problem: problem.to_owned(),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.key.bytes()).map_err(|_| TlsError::Content {
            path: self.settings.key_file.clone().unwrap_or_default(),
            problem: "no private key in PEM".to_owned(),
        })
    }

    /// Who judges the certificates of clients, if they have to show one.
    fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some(text) = &self.client_authorities else {
            return Ok(None);
        };
        let bad = |error: &dyn std::fmt::Display| TlsError::Authorities(error.to_string());
        let mut authorities = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(|error| bad(&error))?;
            authorities.add(certificate).map_err(|error| bad(&error))?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
        verifier
            .map(|verifier| Some(verifier as _))
            .map_err(|error| bad(&error))
    }
}

fn read(path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// When the first of the certificates in a chain ends.
fn not_after(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = chain.iter().map(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    ends.collect::<Option<Vec<_>>>()?.into_iter().min()
}
