//! The server under test: one that runs already, or one of our own for the time of the run. It may be several processes
//! with as many addresses; a NATS that stands beside its gateways is not part of it, and has figures of its own.

mod address;
mod gateway;
mod peer;
mod process;
mod start;

use std::{cell::RefCell, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use http::Uri;
use natter_tests::{nats::NatsServer, wait::eventually};
use serde::{Deserialize, Serialize};

use self::process::Process;
pub use self::{address::Address, gateway::GatewayArgs};
use crate::{
    kernel::{Cpu, Memory},
    metrics::{count, scrape},
    protocol::Protocol,
};

/// Until a gateway is connected to its bus.
const START_LIMIT: Duration = Duration::from_secs(30);

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
    /// One `send` call for each delivery, and nothing else
    Floor,
    /// tokio-tungstenite and a broadcast channel for each room
    Naive,
    /// Bun's native WebSocket pub/sub
    Bun,
    /// socket.io with its `ws` engine, by WebSocket only
    Socketio,
    /// The WebSocket of a NATS server
    Nats,
}

impl Name {
    fn is_gateway(self) -> bool {
        !matches!(
            self,
            Self::Floor | Self::Naive | Self::Bun | Self::Socketio | Self::Nats
        )
    }
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
    /// Have messages compressed: turned on at a gateway of our own, and offered by every member
    #[arg(long)]
    compression: bool,
    /// This program, when another one runs it: a test
    #[arg(long, value_name = "FILE", hide = true)]
    bench: Option<PathBuf>,
    #[command(flatten)]
    own: GatewayArgs,
}

impl Args {
    /// The same with these keys of the configuration in front of those that were given.
    #[must_use]
    pub fn with_settings(self, keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            own: self.own.with(keys),
            ..self
        }
    }
}

pub struct Server {
    /// What is measured, and its version, for results.
    pub label: Label,
    /// At least one.
    addresses: Vec<SocketAddr>,
    /// Of the WebSocket.
    pub path: String,
    pub api_key: String,
    pub protocol: &'static dyn Protocol,
    /// Members offer to take compressed messages.
    pub compression: bool,
    /// What every room's name begins with.
    pub room_prefix: String,
    /// Where the metrics of gateways are; none for other servers.
    ops: Vec<SocketAddr>,
    pids: Vec<u32>,
    own: RefCell<Vec<Process>>,
    /// The one that is measured, or that stands beside gateways.
    nats: Option<NatsServer>,
    /// The process of the latter.
    bus: Option<u32>,
}

/// Name and version of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

    /// Where the metrics of all gateways are; empty for another server.
    pub fn all_ops(&self) -> &[SocketAddr] {
        &self.ops
    }

    pub fn pids(&self) -> &[u32] {
        &self.pids
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
        self.bus.map(Cpu::of).transpose()
    }

    /// Of the NATS beside the gateways, if there is one.
    pub fn bus_memory(&self) -> anyhow::Result<Option<Memory>> {
        self.bus.map(Memory::of).transpose()
    }

    /// Ends processes of our own as a crash would (SIGKILL).
    pub fn kill(&self) {
        self.own.take();
    }
}
