//! What presence costs in one large room of two gateways: memory for each member, at its own gateway and at the other, and
//! the work of one member that comes or goes.
//!
//! All members are at the first gateway, a witness is at the second. Each way of keeping presence has servers of its own and
//! is held against the room without presence, which has the same connections, joins and leaves.

use std::{path::PathBuf, rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    caller::Caller,
    crowd::{self, Crowd},
    kernel::{Cpu, Memory},
    metrics::{count, scrape},
    pace::{self, Until},
    quiet,
    report::{self, Table, grouped},
    run::Run,
    server::{GatewayArgs, Server},
};

/// Connections that come and go.
const GUESTS: usize = 100;
/// Until what was collected is told everywhere.
const SETTLE: Duration = Duration::from_secs(2);
const NAMESPACE: &str = "there";

#[derive(Debug, clap::Args)]
#[group(id = "presence_args")]
pub struct Args {
    /// Members of the room
    #[arg(long, default_value_t = 10_000)]
    members: usize,
    /// Joins and leaves a second, half of each
    #[arg(long, default_value_t = 50.0)]
    changes: f64,
    /// Time of the changes
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    duration: u32,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

/// How a room keeps presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Keeping {
    Off,
    /// Above `presence_limit`: numbers only.
    Counted,
    /// Everybody is known everywhere.
    Kept,
    /// So, and all members are told who comes and goes.
    Told,
}

#[derive(Debug, Serialize)]
struct Presence {
    members: usize,
    changes_per_second: f64,
    costs: Vec<Cost>,
}

#[derive(Debug, Serialize)]
struct Cost {
    keeping: Keeping,
    /// Resident bytes for each member: at its gateway with its connection, and at the other.
    own_bytes: f64,
    other_bytes: f64,
    /// CPU for one join or leave, in milliseconds, with the command that caused it and without what the same members take when
    /// nobody comes or goes.
    own_milliseconds: f64,
    other_milliseconds: f64,
    bus_milliseconds: f64,
    /// What gateways said to each other, and members were told, for one join or leave.
    words: f64,
    pushes: f64,
}

/// One reading of both gateways.
struct Accounts {
    cpu: [Cpu; 2],
    bus: Cpu,
    words: u64,
    pushes: u64,
}

struct Room {
    run: Rc<Run>,
    name: String,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.members > 0 && args.changes > 0.0 && args.duration > 0,
        "there is nothing to measure without members and changes"
    );
    let mut costs = Vec::new();
    for keeping in [Keeping::Off, Keeping::Counted, Keeping::Kept, Keeping::Told] {
        costs.push(Cost::measure(&args, keeping).await?);
    }
    let presence = Presence {
        members: args.members,
        changes_per_second: args.changes,
        costs,
    };
    presence.table().print();
    report::write(args.json.as_deref(), &presence)
}

impl Keeping {
    /// The namespace of the room.
    fn namespace(self, members: usize) -> String {
        let limit = if self == Self::Counted {
            1
        } else {
            members + 2 * GUESTS
        };
        let (presence, told) = (self != Self::Off, self == Self::Told);
        format!(
            "rooms.namespaces=[{{name: {NAMESPACE}, subscribe: anyone, presence: {presence}, presence_limit: {limit}, \
             join_leave: {told}, force_push_join_leave: {told}}}]"
        )
    }

    fn title(self) -> &'static str {
        match self {
            Self::Off => "without presence",
            Self::Counted => "only counted",
            Self::Kept => "kept",
            Self::Told => "kept and told",
        }
    }
}

impl Room {
    /// A member at the first gateway and one at the second.
    async fn open(args: &Args, keeping: Keeping) -> anyhow::Result<(Self, Crowd)> {
        let settings = args.gateway.with([keeping.namespace(args.members)]);
        let run = Run::on(Server::over_nats(&settings, 2).await?)?;
        let name = format!("{NAMESPACE}:room");
        let witnesses = Crowd::default();
        for number in 0..2 {
            witnesses.open(&run, number, name.clone()).await?;
        }
        quiet::wait(&run.server).await?;
        Ok((Self { run, name }, witnesses))
    }

    /// Connections with even numbers are at the first gateway; the witnesses have 0 and 1.
    fn number(place: usize) -> usize {
        2 * (place + 1)
    }

    async fn fill(&self, members: usize) -> anyhow::Result<Crowd> {
        let crowd = Crowd::default();
        let (run, name, opened) = (self.run.clone(), self.name.clone(), crowd.clone());
        let opening = pace::in_flight(crowd::OPENING, Until::Calls(members), move |_, call| {
            opened.open(&run, Self::number(call), name.clone())
        });
        opening.await?.check("connections")?;
        sleep(SETTLE).await;
        quiet::wait(&self.run.server).await?;
        Ok(crowd)
    }

    async fn guests(&self, members: usize) -> anyhow::Result<Vec<Rc<Caller>>> {
        let mut guests = Vec::new();
        for place in members..members + GUESTS {
            let guest = Caller::by_socket(&self.run, Self::number(place), |_| {}).await?;
            guests.push(Rc::new(guest));
        }
        Ok(guests)
    }

    /// Each guest in turn comes, and then each goes.
    async fn change(&self, args: &Args, guests: Vec<Rc<Caller>>) -> anyhow::Result<u64> {
        let name = self.name.clone();
        let duration = Duration::from_secs(args.duration.into());
        let timed = pace::at_rate(args.changes, duration, move |number| {
            let guest = guests[number % GUESTS].clone();
            let (name, comes) = (name.clone(), (number / GUESTS).is_multiple_of(2));
            async move {
                if comes {
                    guest.join(&name, None).await.map(drop)
                } else {
                    guest.leave(&name).await
                }
            }
        })
        .await?;
        timed.check("joins and leaves")?;
        sleep(SETTLE).await;
        Ok(timed.answered)
    }

    fn memory(&self) -> anyhow::Result<Vec<u64>> {
        let pids = self.run.server.pids().iter();
        pids.map(|pid| Ok(Memory::of(*pid)?.resident)).collect()
    }
}

impl Accounts {
    async fn now(server: &Server) -> anyhow::Result<Self> {
        let [own, other] = server.pids() else {
            anyhow::bail!("there are two gateways");
        };
        let (mut words, mut pushes) = (0, 0);
        for ops in server.all_ops() {
            let metrics = scrape(*ops).await?;
            words += count(&metrics, "natter_presence_words_total", &[("result", "said")]);
            pushes += count(&metrics, "natter_presence_pushes_total", &[("result", "queued")]);
        }
        Ok(Self {
            cpu: [Cpu::of(*own)?, Cpu::of(*other)?],
            bus: server.bus_cpu()?.context("there is no NATS")?,
            words,
            pushes,
        })
    }
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "figures of one run")]
    async fn measure(args: &Args, keeping: Keeping) -> anyhow::Result<Self> {
        eprintln!("{}: {} members", keeping.title(), args.members);
        let (room, witnesses) = Room::open(args, keeping).await?;
        let before = room.memory()?;
        let members = room.fill(args.members).await?;
        let grown: Vec<_> = before.iter().zip(room.memory()?).collect();
        let bytes = |place: usize| {
            let (before, after) = grown[place];
            (after as f64 - *before as f64) / args.members as f64
        };
        let guests = room.guests(args.members).await?;
        let server = &room.run.server;
        let idle = Accounts::now(server).await?;
        sleep(Duration::from_secs(args.duration.into()) + SETTLE).await;
        let before = Accounts::now(server).await?;
        let changes = room.change(args, guests).await? as f64;
        let after = Accounts::now(server).await?;
        members.leave();
        witnesses.leave();
        server.kill();
        let milliseconds = |cpu: fn(&Accounts) -> Cpu| {
            let used = |from: &Accounts, to: &Accounts| (cpu(to) - cpu(from)).used().as_secs_f64();
            (used(&before, &after) - used(&idle, &before)) * 1_000.0 / changes
        };
        Ok(Self {
            keeping,
            own_bytes: bytes(0),
            other_bytes: bytes(1),
            own_milliseconds: milliseconds(|at| at.cpu[0]),
            other_milliseconds: milliseconds(|at| at.cpu[1]),
            bus_milliseconds: milliseconds(|at| at.bus),
            words: (after.words - before.words) as f64 / changes,
            pushes: (after.pushes - before.pushes) as f64 / changes,
        })
    }

    fn text(&self, off: &Self) -> String {
        format!(
            "a member {} bytes more at its gateway, {} at the other; a join or leave {:.3} ms of CPU at its gateway, {:.3} at the \
             other, {:.3} of NATS, {:.2} messages between gateways, {} pushes",
            grouped((self.own_bytes - off.own_bytes).max(0.0)),
            grouped((self.other_bytes - off.other_bytes).max(0.0)),
            self.own_milliseconds,
            self.other_milliseconds,
            self.bus_milliseconds,
            self.words,
            grouped(self.pushes),
        )
    }
}

impl Presence {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row(
            "one room",
            format!(
                "{} members at one gateway, one at another; {} joins and leaves a second",
                self.members, self.changes_per_second
            ),
        );
        for cost in &self.costs {
            table.row(cost.keeping.title(), cost.text(&self.costs[0]));
        }
        table
    }
}
