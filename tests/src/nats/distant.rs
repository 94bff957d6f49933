//! Two NATS servers with a long way between them.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::cluster::formed;
use super::config::{Ports, Routes};
use super::{NatsBuilder, NatsServer};
use crate::proxy::Proxy;

/// A cluster of two whose routes run through a proxy: what is fast on one machine can be made as slow as it is
/// between two sites. Clients are told of their own server only, so that they stay where a test puts them.
pub struct DistantPair {
    pub near: NatsServer,
    pub far: NatsServer,
    /// Carries every route between the two; open and without a delay at first.
    pub link: Proxy,
}

impl DistantPair {
    /// Starts both servers with the default settings and waits until their routes are up.
    pub async fn start() -> Result<Self> {
        let builder = NatsBuilder::default();
        let (near, far) = (Ports::take()?, Ports::take()?);
        let link = Proxy::start((Ipv4Addr::LOCALHOST, far.cluster.number()).into()).await?;
        // Only the near server dials, and it knows no other address of the far one.
        let dialled = [link.address().port()];
        let start = |name: &str, ports, to: &[u16]| {
            let advertise = false;
            NatsServer::spawn(name, builder.program()?, ports, |ports, directory| {
                builder.render(name, ports, directory, Some(&Routes { to, advertise }))
            })
        };
        let far = start("nats-far", far, &[])?;
        let near = start("nats-near", near, &dialled)?;
        for server in [&far, &near] {
            server.wait_ready().await?;
        }
        formed(&[&near, &far]).await?;
        Ok(Self { near, far, link })
    }
}
