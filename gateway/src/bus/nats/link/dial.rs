//! From an address to a connection that is logged in.

use std::{io, net::SocketAddr};

use async_nats::{AuthError, ConnectInfo, Protocol, ServerAddr, ServerInfo};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    LinkConfig,
    protocol::{self, Malformed, Operation},
    tls,
};

/// TCP, or TLS over it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection that the server has accepted.
pub(super) struct Dialed {
    pub(super) socket: Box<dyn Socket>,
    /// What was read and not looked at yet.
    pub(super) read: BytesMut,
    pub(super) info: ServerInfo,
}

/// Why there is none, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("the server did not answer in time")]
    Timeout,
    #[error("the server ended the connection")]
    Closed,
    #[error("the server answers no ping")]
    Silent,
    #[error("unreadable protocol: {0}")]
    Malformed(#[from] Malformed),
    #[error("the server's greeting is unreadable")]
    Greeting,
    #[error("the server refused the connection: {0}")]
    Refused(String),
    #[error("cannot log in: {0}")]
    Login(#[from] AuthError),
}

impl LinkConfig {
    /// Tries all addresses of a server.
    pub(super) async fn dial(&self, server: &ServerAddr) -> Result<Dialed, LinkError> {
        let found = timeout(self.connect_timeout, server.socket_addrs()).await;
        let mut addresses: Vec<_> = found.map_err(|_| LinkError::Timeout)??.collect();
        // A name may stand for all servers of a cluster, and resolvers sort.
        fastrand::shuffle(&mut addresses);
        let mut last = LinkError::Closed;
        for address in addresses {
            match timeout(self.connect_timeout, self.greet(address, server)).await {
                Ok(Ok(dialed)) => return Ok(dialed),
                Ok(Err(error)) => last = error,
                Err(_) => last = LinkError::Timeout,
            }
        }
        Err(last)
    }

    async fn greet(&self, address: SocketAddr, server: &ServerAddr) -> Result<Dialed, LinkError> {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut read = BytesMut::new();
        let info = greeting(&mut tcp, &mut read).await?;
        let wants_tls = server.tls_required() || self.login.requires_tls();
        let mut socket: Box<dyn Socket> = if wants_tls || info.tls_required {
            // What came before the handshake may be of somebody in between.
            read.clear();
            let secured = tls::connect(tcp, server.host(), self.login.files()).await;
            Box::new(secured.map_err(LinkError::Tls)?)
        } else {
            Box::new(tcp)
        };
        let connect =
            serde_json::to_string(&self.introduction(&info, wants_tls)?).map_err(io::Error::other)?;
        socket
            .write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes())
            .await?;
        socket.flush().await?;
        let info = accepted(&mut socket, &mut read, info).await?;
        Ok(Dialed { socket, read, info })
    }

    fn introduction(&self, info: &ServerInfo, tls_required: bool) -> Result<ConnectInfo, LinkError> {
        let auth = self.login.answer(info.nonce.as_bytes())?;
        Ok(ConnectInfo {
            verbose: false,
            pedantic: false,
            user_jwt: auth.jwt,
            nkey: auth.nkey,
            signature: auth
                .signature
                .map(|signature| BASE64_URL_SAFE_NO_PAD.encode(signature)),
            name: Some(self.name.clone()),
            echo: true,
            lang: "rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: Protocol::Dynamic,
            tls_required,
            user: auth.username,
            pass: auth.password,
            auth_token: auth.token,
            headers: true,
            no_responders: true,
        })
    }
}

/// The server speaks first.
async fn greeting(socket: &mut TcpStream, read: &mut BytesMut) -> Result<ServerInfo, LinkError> {
    loop {
        if let Some((operation, length)) = protocol::parse(read)? {
            let info = match operation {
                Operation::Info(json) => parse_info(json)?,
                Operation::Error(text) => return Err(LinkError::Refused(super::text(text))),
                _ => return Err(LinkError::Greeting),
            };
            read.advance(length);
            return Ok(info);
        }
        more(socket, read).await?;
    }
}

/// The server answers the PING behind CONNECT when it takes the login. It may say more of itself before.
async fn accepted(
    socket: &mut Box<dyn Socket>,
    read: &mut BytesMut,
    mut info: ServerInfo,
) -> Result<ServerInfo, LinkError> {
    loop {
        while let Some((operation, length)) = protocol::parse(read)? {
            let mut is_accepted = false;
            match operation {
                Operation::Pong => is_accepted = true,
                Operation::Info(json) => info = parse_info(json)?,
                Operation::Error(text) => return Err(LinkError::Refused(super::text(text))),
                Operation::Ping => socket.write_all(b"PONG\r\n").await?,
                Operation::Ok => {}
                Operation::Message(_) => return Err(LinkError::Greeting),
            }
            read.advance(length);
            if is_accepted {
                return Ok(info);
            }
        }
        more(socket, read).await?;
    }
}

pub(super) fn parse_info(json: &[u8]) -> Result<ServerInfo, LinkError> {
    serde_json::from_slice(json).map_err(|_| LinkError::Greeting)
}

/// Reads some bytes more, and says how many.
pub(super) async fn more(
    socket: &mut (impl AsyncRead + Unpin),
    read: &mut BytesMut,
) -> Result<usize, LinkError> {
    match socket.read_buf(read).await? {
        0 => Err(LinkError::Closed),
        length => Ok(length),
    }
}
