//! The server under test: one that runs already, or one of our own for the time of the run. It may be several processes
//! with as many addresses; a NATS that stands beside its gateways is not part of it, and has figures of its own.

mod gateway;
mod process;

use std::{
    cell::RefCell,
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use http::Uri;
use natter_tests::{nats::NatsServer, wait::eventually};
use serde::Serialize;

pub use gateway::GatewayArgs;

use self::process::Process;
use crate::{
    durable::{self, Storage},
    kernel::{Cpu, Memory},
    metrics::{count, scrape},
    protocol::{CentrifugeJson, Protocol},
};

/// Until a gateway is connected to its bus.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The path of the Centrifuge protocol.
const PATH: &str = "/connection/websocket";

/// What can be started for the time of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// A gateway with the embedded bus
    Natter,
    /// A gateway over NATS
    NatterNatsOne,
    /// Two gateways over one NATS; connections alternate between them
    NatterNats,
    /// A gateway; the rooms are durable, in memory of one NATS
    NatterDurableMemory,
    /// A gateway; the rooms are durable, in files of one NATS
    NatterDurableFile,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[derive(Clone, Debug, clap::Args)]
#[group(id = "server_args")]
#[command(next_help_heading = "Server")]
pub struct Args {
    /// Server to start
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Name::Natter)]
    server: Name,
    /// Server to drive that runs already, ws://host:port/path
    #[arg(long, requires = "pid", conflicts_with_all = ["server", "gateway", "workers", "set"])]
    url: Option<Uri>,
    /// Its process on this machine
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Key of its server API
    #[arg(long, requires = "url", default_value = "")]
    api_key: String,
    #[command(flatten)]
    own: GatewayArgs,
}

pub struct Server {
    /// What is measured, and its version, for results.
    pub label: Label,
    /// At least one.
    addresses: Vec<SocketAddr>,
    /// Of the WebSocket.
    pub path: String,
    pub api_key: String,
    /// What every room's name begins with.
    pub room_prefix: String,
    /// Where the metrics of gateways are; none for other servers.
    ops: Vec<SocketAddr>,
    pids: Vec<u32>,
    own: RefCell<Vec<Process>>,
    bus: Option<NatsServer>,
}

/// Name and version of a server.
#[derive(Clone, Debug, Serialize)]
pub struct Label {
    /// As given by `--server`, or the URL.
    pub server: String,
    /// Programs and their versions; empty for a server that ran already.
    pub version: String,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, version } = self;
        if version.is_empty() {
            return f.write_str(server);
        }
        write!(f, "{server} ({version})")
    }
}

impl Server {
    /// Connects to what the arguments name, or starts it and waits until it takes connections.
    pub async fn of(args: Args) -> anyhow::Result<Self> {
        if let (Some(url), Some(pid)) = (&args.url, args.pid) {
            return Self::running(url, pid, args.api_key);
        }
        let mut server = match args.server {
            Name::Natter => Self::start(&args.own)?,
            Name::NatterNatsOne => Self::over_nats(&args.own, 1).await?,
            Name::NatterNats => Self::over_nats(&args.own, 2).await?,
            Name::NatterDurableMemory => Self::durable(&args.own, Storage::Memory).await?,
            Name::NatterDurableFile => Self::durable(&args.own, Storage::File).await?,
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

    fn empty(label: Label) -> Self {
        Self {
            label,
            addresses: Vec::new(),
            path: PATH.to_owned(),
            api_key: String::new(),
            room_prefix: String::new(),
            ops: Vec::new(),
            pids: Vec::new(),
            own: RefCell::default(),
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

    async fn over_nats(args: &GatewayArgs, gateways: usize) -> anyhow::Result<Self> {
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

    fn add(&mut self, process: Process) {
        self.pids.push(process.pid());
        self.own.get_mut().push(process);
    }

    async fn stand_beside(&mut self, nats: NatsServer) -> anyhow::Result<()> {
        let version = nats_version(&nats).await?;
        self.label.version = format!("{}, {version}", self.label.version);
        self.bus = Some(nats);
        Ok(())
    }

    /// Waits until all gateways are connected to their bus.
    pub async fn bus_is_up(&self) -> anyhow::Result<()> {
        eventually("the gateway is connected to NATS", START_LIMIT, async || {
            for ops in &self.ops {
                let up = count(&scrape(*ops).await?, "natter_bus_up", &[]);
                ensure!(up == 1, "it is not up");
            }
            anyhow::Ok(())
        })
        .await
    }

    /// Whether publications are refused until the streams are there.
    pub fn is_durable(&self) -> bool {
        !self.room_prefix.is_empty()
    }

    pub fn protocol(&self) -> Box<dyn Protocol> {
        Box::new(CentrifugeJson)
    }

    /// Where the connection with this number among all of the run goes.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number % self.addresses.len()]
    }

    /// How many addresses connections are spread over.
    pub fn doors(&self) -> usize {
        self.addresses.len()
    }

    /// Where the metrics of the first gateway are.
    pub fn ops(&self) -> anyhow::Result<SocketAddr> {
        self.ops.first().copied().context("the server has no ops port")
    }

    /// Of all its processes.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of_all(&self.pids)
    }

    /// Of all its processes.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of_all(&self.pids)
    }

    /// Of the NATS beside the gateways, if there is one.
    pub fn bus_cpu(&self) -> anyhow::Result<Option<Cpu>> {
        self.bus.as_ref().map(|nats| Cpu::of(nats.pid())).transpose()
    }

    /// Of the NATS beside the gateways, if there is one.
    pub fn bus_memory(&self) -> anyhow::Result<Option<Memory>> {
        self.bus.as_ref().map(|nats| Memory::of(nats.pid())).transpose()
    }

    /// Ends processes of our own as a crash would (SIGKILL).
    pub fn kill(&self) {
        self.own.take();
    }
}

async fn nats_version(nats: &NatsServer) -> anyhow::Result<String> {
    let varz = nats.get("varz").await?;
    let version = varz["version"].as_str().context("varz has no version")?;
    Ok(format!("nats-server {version}"))
}
