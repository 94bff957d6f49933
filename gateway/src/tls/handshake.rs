//! A handshake, within a time limit.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig},
};

use crate::{metrics::HandshakeFailure, socket::Socket};

/// Does the handshake of an accepted stream.
///
/// # Errors
/// What ended it, as it is counted, and in words.
pub async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
) -> Result<Socket, (HandshakeFailure, String)> {
    match timeout(limit, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(accepted)) => {
            let (stream, connection) = accepted.into_inner();
            Ok(Socket::tls(stream, connection))
        }
        Ok(Err(error)) => Err((kind(&error), error.to_string())),
        Err(_) => Err((
            HandshakeFailure::TlsTimeout,
            "the handshake took too long".to_owned(),
        )),
    }
}

fn kind(error: &io::Error) -> HandshakeFailure {
    let Some(error) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return HandshakeFailure::Closed;
    };
    match error {
        rustls::Error::AlertReceived(_) => HandshakeFailure::TlsRejected,
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            HandshakeFailure::TlsMalformed
        }
        _ => HandshakeFailure::TlsUnacceptable,
    }
}
