//! TLS towards a server, with certificates read anew at every connection, as `async-nats` does it for the client.

use std::{io, path::Path, sync::Arc};

use async_nats::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::bus::nats::credentials::NatsFiles;

/// Shakes hands with the server of this name, or address.
pub(super) async fn connect(
    tcp: TcpStream,
    host: &str,
    files: &NatsFiles,
) -> io::Result<TlsStream<TcpStream>> {
    let files = files.clone();
    let config = spawn_blocking(move || config(&files)).await??;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

fn config(files: &NatsFiles) -> io::Result<ClientConfig> {
    // Named, because a process may have several.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(authorities(files)?);
    let Some((certificate, key)) = &files.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let shown = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    builder
        .with_client_auth_cert(shown, key)
        .map_err(io::Error::other)
}

fn authorities(files: &NatsFiles) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Some(file) = &files.authority {
        for certificate in certificates(file)? {
            store.add(certificate).map_err(io::Error::other)?;
        }
        return Ok(store);
    }
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.into_iter().next() {
        return Err(io::Error::other(error));
    }
    store.add_parsable_certificates(found.certs);
    Ok(store)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    all.map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", file.display()))
}
