//! How each server comes to be.

use std::{cell::RefCell, net::ToSocketAddrs};

use anyhow::{Context, ensure};
use http::Uri;
use natter_tests::nats::NatsServer;

use super::{
    Args, GatewayArgs, Label, Name, Server, gateway, peer,
    process::{Listening, Process},
};
use crate::{
    durable::{self, Storage},
    protocol::{CentrifugeJson, NatsText, SocketIo},
};

/// The path of the Centrifuge protocol.
const PATH: &str = "/connection/websocket";
const SOCKETIO_PATH: &str = "/socket.io/?EIO=4&transport=websocket";

impl Server {
    /// Connects to what the arguments name, or starts it and waits until it takes connections.
    pub async fn of(mut args: Args) -> anyhow::Result<Self> {
        let compression = args.compression;
        if compression && args.server.is_gateway() {
            args.own = args.own.with(["client.compression.enabled=true".to_owned()]);
        }
        let server = Self::named(args).await?;
        Ok(Self {
            compression,
            ..server
        })
    }

    async fn named(args: Args) -> anyhow::Result<Self> {
        if let (Some(url), Some(pid)) = (&args.url, args.pid) {
            return Self::running(url, pid, args.api_key);
        }
        let (own, bench) = (&args.own, args.bench.as_deref());
        ensure!(
            args.server.is_gateway() || own.workers == 0 && own.set.is_empty(),
            "--workers and --set are for gateways, which {} is none of",
            args.server
        );
        let mut server = match args.server {
            Name::Natter => Self::start(own)?,
            Name::NatterNatsOne => Self::over_nats(own, 1).await?,
            Name::NatterNats => Self::over_nats(own, 2).await?,
            Name::NatterDurableMemory => Self::durable(own, Storage::Memory).await?,
            Name::NatterDurableFile => Self::durable(own, Storage::File).await?,
            Name::Floor => Self::peer(peer::own(bench, "floor")?),
            Name::Naive => Self::peer(peer::own(bench, "naive")?),
            Name::Bun => Self::peer(peer::bun()?),
            Name::Socketio => Self::socketio()?,
            Name::Nats => Self::nats().await?,
        };
        server.label.server = args.server.to_string();
        Ok(server)
    }

    fn running(url: &Uri, pid: u32, api_key: String) -> anyhow::Result<Self> {
        let host = url.host().context("the URL has no host")?;
        let port = url.port_u16().context("the URL has no port")?;
        let address = (host, port).to_socket_addrs()?.next();
        let label = Label {
            server: url.to_string(),
            version: String::new(),
        };
        Ok(Self {
            addresses: vec![address.with_context(|| format!("{host} has no address"))?],
            path: url.path().to_owned(),
            api_key,
            pids: vec![pid],
            ..Self::empty(label)
        })
    }

    pub(super) fn empty(label: Label) -> Self {
        Self {
            label,
            addresses: Vec::new(),
            path: PATH.to_owned(),
            api_key: String::new(),
            protocol: &CentrifugeJson,
            compression: false,
            room_prefix: String::new(),
            ops: Vec::new(),
            pids: Vec::new(),
            own: RefCell::default(),
            nats: None,
            bus: None,
        }
    }

    /// Starts a gateway.
    pub fn start(args: &GatewayArgs) -> anyhow::Result<Self> {
        Self::gateways(args, 1)
    }

    fn gateways(args: &GatewayArgs, gateways: usize) -> anyhow::Result<Self> {
        let mut server = Self::empty(Label {
            server: Name::Natter.to_string(),
            version: String::new(),
        });
        gateway::OWN_KEY.clone_into(&mut server.api_key);
        for _ in 0..gateways {
            let (process, listening) = args.start()?;
            server.label.version = format!("natter-gateway {}", listening.version.unwrap_or_default());
            server.addresses.push(listening.public);
            server.ops.extend(listening.ops);
            server.add(process);
        }
        Ok(server)
    }

    /// Starts gateways, and a NATS beside them.
    pub async fn over_nats(args: &GatewayArgs, gateways: usize) -> anyhow::Result<Self> {
        let nats = NatsServer::start().await?;
        let mut server = Self::gateways(&args.with([durable::bus(&[nats.url()])]), gateways)?;
        server.bus_is_up().await?;
        server.stand_beside(nats).await?;
        Ok(server)
    }

    /// The streams may not be there yet when it returns.
    async fn durable(args: &GatewayArgs, storage: Storage) -> anyhow::Result<Self> {
        let nats = NatsServer::builder().jetstream().start().await?;
        let settings = durable::Args::of(args, storage).settings(&[nats.url()], durable::HISTORY, &[]);
        let mut server = Self::start(&settings)?;
        server.bus_is_up().await?;
        server.room_prefix = format!("{}:", durable::NAMESPACE);
        server.stand_beside(nats).await?;
        Ok(server)
    }

    /// A server that speaks as a gateway does.
    fn peer((process, listening): (Process, Listening)) -> Self {
        let mut server = Self::empty(Label {
            server: String::new(),
            version: listening.version.unwrap_or_default(),
        });
        server.addresses.push(listening.public);
        server.add(process);
        server
    }

    fn socketio() -> anyhow::Result<Self> {
        Ok(Self {
            path: SOCKETIO_PATH.to_owned(),
            protocol: &SocketIo,
            ..Self::peer(peer::socketio()?)
        })
    }

    async fn nats() -> anyhow::Result<Self> {
        let (nats, port) = peer::nats().await?;
        let label = Label {
            server: String::new(),
            version: nats_version(&nats).await?,
        };
        Ok(Self {
            addresses: vec![port.address()],
            path: "/".to_owned(),
            protocol: &NatsText,
            pids: vec![nats.pid()],
            nats: Some(nats),
            ..Self::empty(label)
        })
    }

    fn add(&mut self, process: Process) {
        self.pids.push(process.pid());
        self.own.get_mut().push(process);
    }

    async fn stand_beside(&mut self, nats: NatsServer) -> anyhow::Result<()> {
        let version = nats_version(&nats).await?;
        self.label.version = format!("{}, {version}", self.label.version);
        self.bus = Some(nats.pid());
        self.nats = Some(nats);
        Ok(())
    }
}

async fn nats_version(nats: &NatsServer) -> anyhow::Result<String> {
    let varz = nats.get("varz").await?;
    let version = varz["version"].as_str().context("varz has no version")?;
    Ok(format!("nats-server {version}"))
}
