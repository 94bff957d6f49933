//! NATS and gateways of our own, for the time of a run, with one namespace of durable rooms.

use std::{rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use natter_tests::{
    nats::{NatsCluster, NatsServer},
    wait::eventually,
};
use serde::Serialize;

use crate::{
    caller::Caller,
    kernel::Memory,
    run::Run,
    server::{GatewayArgs, Server},
};

/// Until the streams are there.
const START_LIMIT: Duration = Duration::from_secs(30);
pub(crate) const NAMESPACE: &str = "durable";
/// Of a room, when what is measured is not its reading.
pub(crate) const HISTORY: &str = "size: 100, ttl: 5m";
/// Rooms that one client may be in, with space below the gateway's default of 128.
pub const ROOMS_OF_CLIENT: usize = 100;

#[derive(Debug, clap::Args)]
#[group(id = "durable_args")]
#[command(next_help_heading = "Durable rooms")]
pub struct Args {
    /// NATS servers that hold each stream: 1, or 3 of a cluster of three
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    replicas: u8,
    /// Where the streams are kept
    #[arg(long, value_enum, default_value_t = Storage::File)]
    storage: Storage,
    /// Streams that the rooms are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    partitions: u16,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    File,
    Memory,
}

enum Nats {
    One(NatsServer),
    Three(NatsCluster),
}

impl Nats {
    fn servers(&self) -> &[NatsServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Three(cluster) => cluster.nodes(),
        }
    }
}

/// Everything that a run started; dropping it ends it.
pub struct World {
    pub gateways: Vec<Rc<Run>>,
    nats: Nats,
}

impl World {
    /// Starts NATS, and `gateways` with these keys of their configuration besides those of the arguments.
    pub async fn start(args: &Args, gateways: usize, history: &str, set: &[&str]) -> anyhow::Result<Self> {
        ensure!(args.replicas != 2, "streams have 1 or 3 replicas");
        let builder = NatsServer::builder().jetstream();
        let nats = if args.replicas == 1 {
            Nats::One(builder.start().await?)
        } else {
            Nats::Three(builder.start_cluster(3).await?)
        };
        let mut world = Self {
            gateways: Vec::new(),
            nats,
        };
        let settings = args.settings(&world.nats_url(), history, set);
        for _ in 0..gateways {
            let gateway = Run::on(Server::start(&settings)?)?;
            world.gateways.push(gateway);
        }
        for gateway in &world.gateways {
            gateway.server.bus_is_up().await?;
            streams_are_there(gateway).await?;
        }
        Ok(world)
    }

    pub fn room(number: usize) -> String {
        format!("{NAMESPACE}:room-{number}")
    }

    /// Subject on which `room` is stored, when there is one partition.
    pub fn subject(number: usize) -> String {
        format!("natter.msg.{NAMESPACE}.0.{}", Self::room(number))
    }

    pub fn nats_url(&self) -> Vec<String> {
        self.nats.servers().iter().map(NatsServer::url).collect()
    }

    /// Resident bytes of all NATS servers.
    pub fn nats_memory(&self) -> anyhow::Result<u64> {
        let servers = self.nats.servers().iter();
        servers.map(|server| Ok(Memory::of(server.pid())?.resident)).sum()
    }

    /// Subscriptions that the first NATS server has, those of gateways and its own.
    pub async fn subscriptions(&self) -> anyhow::Result<u64> {
        let server = self.nats.servers().first().context("there is no NATS server")?;
        let subscriptions = &server.get("varz").await?["subscriptions"];
        subscriptions.as_u64().context("varz has no subscriptions")
    }
}

impl Args {
    /// One replica in this storage, one stream.
    pub(crate) fn of(gateway: &GatewayArgs, storage: Storage) -> Self {
        Self {
            replicas: 1,
            storage,
            partitions: 1,
            gateway: gateway.clone(),
        }
    }

    /// What a gateway needs to know of NATS and of the namespace.
    pub(crate) fn settings(&self, nats: &[String], history: &str, set: &[&str]) -> GatewayArgs {
        let storage = match self.storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        };
        let (replicas, partitions) = (self.replicas, self.partitions);
        let stream = format!("{{replicas: {replicas}, storage: {storage}, partitions: {partitions}}}");
        let own = [
            bus(nats),
            format!(
                "rooms.namespaces=[{{name: {NAMESPACE}, subscribe: anyone, publish: anyone, \
                 history: {{{history}, read: anyone, stream: {stream}}}}}]"
            ),
        ];
        let set = set.iter().map(ToString::to_string);
        self.gateway.with(own.into_iter().chain(set))
    }

    /// As shown in results: `R1, file`.
    pub fn label(&self) -> String {
        format!("R{}, {:?}", self.replicas, self.storage)
            .to_lowercase()
            .replacen('r', "R", 1)
    }
}

/// The key of a gateway's configuration that names its NATS servers.
pub(crate) fn bus(nats: &[String]) -> String {
    format!("bus.nats={{servers: {nats:?}}}")
}

/// Waits until a gateway stores publications.
pub(crate) async fn streams_are_there(gateway: &Rc<Run>) -> anyhow::Result<()> {
    let (caller, first) = (Caller::by_http(gateway, 0).await?, format!("{NAMESPACE}:first"));
    eventually("the streams are there", START_LIMIT, async || {
        caller.post(gateway, &first, "{}").await
    })
    .await
}
