//! What an idle connection costs: opens many, each in a room, and waits until nothing happens any more.
//!
//! The first connection of each process is there before the first reading: it pays for code that was never run and for everything that
//! is there once, which is no cost of the ten-thousandth.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use serde::Serialize;

use crate::{
    crowd,
    kernel::{Memory, SocketMemory},
    quiet,
    report::{self, Table, grouped},
    run::Run,
    server::{self, Label, Server},
    usage::{self, Accounts, ClientShare, Usage},
};

#[derive(Debug, clap::Args)]
#[group(id = "density_args")]
pub struct Args {
    /// Connections to open
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Rooms to spread them over [default: one each]
    #[arg(long)]
    rooms: Option<usize>,
    /// Fail when a connection takes more resident memory than this
    #[arg(long, value_name = "BYTES")]
    max_bytes_per_connection: Option<u32>,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: server::Args,
}

/// Sizes in bytes for each connection.
#[derive(Debug, Serialize)]
struct Density {
    #[serde(flatten)]
    label: Label,
    connections: usize,
    rooms: usize,
    /// What counts: resident memory of the server.
    resident: f64,
    /// Without pages of files.
    anonymous: f64,
    /// Of the whole server, before and after.
    resident_before: u64,
    resident_after: u64,
    /// Of the kernel, for both ends of a loopback connection and the whole machine.
    kernel_buffers: f64,
    kernel_slab: f64,
    connects_per_second: f64,
    connect_cpu_milliseconds: f64,
    connect_user_milliseconds: f64,
    connect_system_milliseconds: f64,
    /// Of the NATS beside the gateways, which is no part of the server.
    bus_resident: Option<f64>,
    /// What it used for all connects together.
    bus_cpu_seconds: Option<f64>,
    /// While connections were opened, as the next.
    #[serde(flatten)]
    client: ClientShare,
    /// Cores that everything else on the machine used.
    others_cores: f64,
}

struct Reading {
    memory: Memory,
    sockets: SocketMemory,
    bus: Option<Memory>,
}

impl Reading {
    fn of(server: &Server) -> anyhow::Result<Self> {
        Ok(Self {
            memory: server.memory()?,
            sockets: SocketMemory::now()?,
            bus: server.bus_memory()?,
        })
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (connections, json) = (args.connections, args.json);
    let rooms = args.rooms.unwrap_or(connections);
    ensure!(
        connections > 0 && rooms > 0,
        "there is nothing to measure without connections and rooms"
    );
    let run = Run::start(args.server).await?;
    let server = &run.server;
    // The first connection of each process is numbered behind the others.
    let all = connections + server.doors();
    crowd::open(&run, connections, all, rooms.max(all)).await?;
    quiet::wait(server).await?;

    let before = Reading::of(server)?;
    eprintln!("opening {connections} connections in {rooms} rooms");
    let opening = Accounts::now(server)?;
    crowd::open(&run, 0, connections, rooms).await?;
    let used = Accounts::now(server)?.since(&opening);
    quiet::wait(server).await?;
    let after = Reading::of(server)?;
    ensure!(
        run.tally.ended.get() == 0,
        "a connection was lost: {}",
        run.trouble()
    );

    let label = server.label.clone();
    let density = Density::new(label, connections, rooms, [&before, &after], used);
    density.table().print();
    usage::warn(density.client, density.others_cores);
    report::write(json.as_deref(), &density)?;
    if let Some(bound) = args.max_bytes_per_connection {
        let worst = density.resident.max(density.anonymous);
        ensure!(
            worst <= f64::from(bound),
            "a connection takes {worst:.0} bytes of resident memory, more than {bound}"
        );
    }
    Ok(())
}

impl Density {
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    fn new(
        label: Label,
        connections: usize,
        rooms: usize,
        [before, after]: [&Reading; 2],
        used: Usage,
    ) -> Self {
        let count = connections as f64;
        let growth = |before: u64, after: u64| (after as f64 - before as f64) / count;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0 / count;
        let bus = before.bus.zip(after.bus);
        Self {
            label,
            connections,
            rooms,
            resident: growth(before.memory.resident, after.memory.resident),
            anonymous: growth(before.memory.anonymous, after.memory.anonymous),
            resident_before: before.memory.resident,
            resident_after: after.memory.resident,
            kernel_buffers: growth(before.sockets.buffers, after.sockets.buffers),
            kernel_slab: growth(before.sockets.slab, after.sockets.slab),
            connects_per_second: count / used.seconds,
            connect_cpu_milliseconds: milliseconds(used.server.used()),
            connect_user_milliseconds: milliseconds(used.server.user),
            connect_system_milliseconds: milliseconds(used.server.system),
            bus_resident: bus.map(|(before, after)| growth(before.resident, after.resident)),
            bus_cpu_seconds: used.bus.map(|used| used.as_secs_f64()),
            client: used.client,
            others_cores: used.others_cores,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("server", self.label.to_string());
        table.row(
            "idle connections",
            format!("{} in {} rooms", self.connections, self.rooms),
        );
        table.row(
            "resident memory each",
            format!(
                "{} bytes ({} of it anonymous); the server grew from {} to {} KiB",
                grouped(self.resident),
                grouped(self.anonymous),
                self.resident_before / 1024,
                self.resident_after / 1024
            ),
        );
        table.row(
            "kernel memory each",
            format!(
                "{} bytes of socket buffers, {} of slab (both ends, whole machine)",
                grouped(self.kernel_buffers),
                grouped(self.kernel_slab)
            ),
        );
        table.row(
            "connects and joins",
            format!("{}/s", grouped(self.connects_per_second)),
        );
        table.row(
            "CPU of one",
            format!(
                "{:.3} ms (user {:.3}, system {:.3})",
                self.connect_cpu_milliseconds,
                self.connect_user_milliseconds,
                self.connect_system_milliseconds
            ),
        );
        if let (Some(resident), Some(cpu)) = (self.bus_resident, self.bus_cpu_seconds) {
            let text = format!(
                "{} bytes for each connection, {cpu:.2} s for all connects",
                grouped(resident)
            );
            table.row("NATS", text);
        }
        table
    }
}
