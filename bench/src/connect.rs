//! What connecting and joining a room costs, how fast it goes, and whether memory comes back when connections leave.
//!
//! At a rate, a connection's time counts from when it was due, so a stall counts for every connection that it held up. Without
//! one, a fixed number is under way at once, and the time of each is mostly waiting for the others. A round opens all
//! connections, ends them all without a word, and waits until the server is quiet: what it keeps then, round by round, is
//! memory that does not come back.

use std::{path::PathBuf, rc::Rc, time::Duration};

use anyhow::ensure;
use serde::Serialize;

use crate::{
    crowd::{self, Crowd},
    kernel::Memory,
    pace::{self, Timed, Until},
    quiet,
    report::{self, Table, grouped},
    run::Run,
    server::{self, Label},
    usage::{self, Accounts, ClientShare},
};

#[derive(Debug, clap::Args)]
#[group(id = "connect_args")]
pub struct Args {
    /// Connections of a round; each takes a descriptor here and at the server
    #[arg(long, default_value_t = 5_000)]
    connections: usize,
    /// Connects a second [default: as fast as it goes]
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Connects that are under way at once when there is no rate
    #[arg(long, value_name = "COUNT", default_value_t = crowd::OPENING)]
    in_flight: usize,
    /// Rooms to spread them over [default: one each]
    #[arg(long)]
    rooms: Option<usize>,
    /// How many times they all come and go
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: usize,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: server::Args,
}

#[derive(Debug, Serialize)]
struct Connect {
    #[serde(flatten)]
    label: Label,
    connections: usize,
    rooms: usize,
    /// `None` for as fast as it goes.
    rate: Option<f64>,
    /// Of the server before the first round, in bytes.
    resident_before: u64,
    rounds: Vec<Round>,
    /// Resident memory that the server keeps of each connection that was there, in bytes.
    kept: f64,
    /// By how much that grew with each round after the first, in bytes for each connection of a round.
    kept_more_each_round: f64,
}

#[derive(Debug, Serialize)]
struct Round {
    /// `failed` are those that the server refused.
    #[serde(flatten)]
    connects: Timed,
    /// For each connection that was attempted.
    connect_cpu_milliseconds: f64,
    connect_user_milliseconds: f64,
    connect_system_milliseconds: f64,
    #[serde(flatten)]
    client: ClientShare,
    /// Cores that everything else on the machine used.
    others_cores: f64,
    /// Of the server with all connections, and after they left, in bytes.
    resident_open: u64,
    resident_left: u64,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.connections > 0 && args.rounds > 0 && args.in_flight > 0,
        "there is nothing to measure without connections and rounds"
    );
    ensure!(args.rate.is_none_or(|rate| rate > 0.0), "a rate is positive");
    let json = args.json.clone();
    let connect = Connect::measure(args).await?;
    connect.table().print();
    for round in &connect.rounds {
        usage::warn(round.client, round.others_cores);
    }
    report::write(json.as_deref(), &connect)
}

impl Connect {
    async fn measure(args: Args) -> anyhow::Result<Self> {
        let run = Run::start(args.server.clone()).await?;
        let rooms = args.rooms.unwrap_or(args.connections);
        // The first connection pays for what is there once; it is numbered behind all others.
        let first = args.connections * args.rounds;
        crowd::open(&run, first, first + 1, rooms.max(first + 1)).await?;
        quiet::wait(&run.server).await?;
        let before = run.server.memory()?;
        let mut rounds = Vec::new();
        for number in 0..args.rounds {
            eprintln!("round {}: {} connections", number + 1, args.connections);
            rounds.push(Round::measure(&run, &args, number, rooms).await?);
        }
        Ok(Self::of(run.server.label.clone(), &args, rooms, before, rounds))
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    fn of(label: Label, args: &Args, rooms: usize, before: Memory, rounds: Vec<Round>) -> Self {
        let connections = args.connections as f64;
        let left = |round: Option<&Round>| round.map_or(0.0, |round| round.resident_left as f64);
        let more = left(rounds.last()) - left(rounds.first());
        Self {
            label,
            connections: args.connections,
            rooms,
            rate: args.rate,
            resident_before: before.resident,
            kept: (left(rounds.last()) - before.resident as f64) / connections,
            kept_more_each_round: more / connections / (rounds.len().max(2) - 1) as f64,
            rounds,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let pace = self.rate.map_or("as fast as it goes".to_owned(), |rate| {
            format!("{} a second", grouped(rate))
        });
        table.row("server", self.label.to_string());
        table.row(
            "connects and joins",
            format!("{} in {} rooms, {pace}", self.connections, self.rooms),
        );
        for round in &self.rounds {
            round.rows(&mut table);
        }
        table.row(
            "memory kept",
            format!(
                "{:.0} bytes a connection after all rounds, {:.0} more each round after the first",
                self.kept, self.kept_more_each_round
            ),
        );
        table
    }
}

impl Round {
    #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
    async fn measure(run: &Rc<Run>, args: &Args, number: usize, rooms: usize) -> anyhow::Result<Self> {
        let (server, crowd) = (&run.server, Crowd::default());
        let (opened, run_of_call) = (crowd.clone(), run.clone());
        // Ports of connections that have just ended are not free yet.
        let first = number * args.connections;
        let open = move |call: usize| {
            let room = crowd::room(&run_of_call, call, rooms);
            opened.open(&run_of_call, first + call, room)
        };
        let before = Accounts::now(server)?;
        let connects = if let Some(rate) = args.rate {
            let duration = Duration::from_secs_f64(args.connections as f64 / rate);
            pace::at_rate(rate, duration, open).await?
        } else {
            let until = Until::Attempts(args.connections);
            pace::in_flight(args.in_flight, until, move |_, call| open(call)).await?
        };
        let used = Accounts::now(server)?.since(&before);
        quiet::wait(server).await?;
        let open = server.memory()?;
        ensure!(
            run.tally.ended.get() == 0,
            "a connection was lost: {}",
            run.trouble()
        );
        crowd.leave();
        quiet::wait(server).await?;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0 / args.connections as f64;
        Ok(Self {
            connects,
            connect_cpu_milliseconds: milliseconds(used.server.used()),
            connect_user_milliseconds: milliseconds(used.server.user),
            connect_system_milliseconds: milliseconds(used.server.system),
            client: used.client,
            others_cores: used.others_cores,
            resident_open: open.resident,
            resident_left: server.memory()?.resident,
        })
    }

    fn rows(&self, table: &mut Table) {
        let trouble = self.connects.trouble.as_ref();
        let trouble = trouble.map_or_else(String::new, |trouble| format!("; first: {trouble}"));
        table.row(
            "a round",
            format!(
                "{}/s, {}, max {:.1} ms; {} refused{trouble}",
                grouped(self.connects.per_second),
                self.connects.latency_text(),
                self.connects.latency.max,
                self.connects.failed
            ),
        );
        table.row(
            "  server",
            format!(
                "{:.3} ms CPU each (user {:.3}, system {:.3}); {} KiB resident with all, {} KiB when they left",
                self.connect_cpu_milliseconds,
                self.connect_user_milliseconds,
                self.connect_system_milliseconds,
                self.resident_open / 1024,
                self.resident_left / 1024
            ),
        );
    }
}
