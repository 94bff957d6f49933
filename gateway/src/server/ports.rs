//! The ports of a gateway, bound before anything else is started.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::{config::Settings, listener};

pub(super) struct Ports {
    /// One for each worker, all on the same address.
    pub(super) listeners: Vec<std::net::TcpListener>,
    pub(super) ops: TcpListener,
    pub(super) public_address: SocketAddr,
    pub(super) ops_address: SocketAddr,
}

impl Ports {
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let listeners = listener::bind(settings.listen, settings.workers)
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let public_address = listeners
            .first()
            .context("no worker is configured")?
            .local_addr()?;
        let ops = TcpListener::bind(settings.ops_listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.ops_listen))?;
        Ok(Self {
            listeners,
            public_address,
            ops_address: ops.local_addr()?,
            ops,
        })
    }
}
