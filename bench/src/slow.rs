//! Some members of a room do not keep up: what the others see of it, how much the server keeps for them, and how they end.
//!
//! A slow member has a small receive buffer in the kernel and reads what it holds now and then, or nothing at all. Messages go
//! to the room without any of them first, then with them until the server has cut all (gateways count that) or the time is
//! over. Then they read all that is there for them, which ends with a close code when they were cut.

mod reader;
mod watch;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::ensure;
use serde::Serialize;
use tokio::{
    sync::watch::channel,
    task::{JoinHandle, spawn_local},
    time::{Instant, timeout},
};

use self::watch::{Cuts, Peak};
use crate::{
    client::Client,
    load::{self, Load, Measured},
    publisher::By,
    quiet,
    report::{self, Table},
    run::Run,
    server,
};

/// For a slow member to read what is left for it.
const LAST_LIMIT: Duration = Duration::from_secs(20);

/// Before anything is measured: code that never ran, memory that was never touched.
const REHEARSAL: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[group(id = "slow_args")]
pub struct Args {
    /// Members of the room that keep up
    #[arg(long, default_value_t = 200)]
    members: usize,
    /// Members beside them that do not
    #[arg(long, default_value_t = 10)]
    slow: usize,
    /// A slow member reads what its receive buffer holds once in so long [default: never]
    #[arg(long, value_name = "MILLISECONDS")]
    reads_every: Option<u64>,
    /// Receive buffer of a slow member in the kernel
    #[arg(long, value_name = "BYTES", default_value_t = 4_096)]
    receive_buffer: u32,
    /// Messages a second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Bytes of a message
    #[arg(long, default_value_t = 4_096)]
    size: usize,
    /// Time without slow members
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u32,
    /// Time with them, should the server not have cut them all by then
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    at_most: u32,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: server::Args,
}

#[derive(Debug, Serialize)]
struct Slow {
    members: usize,
    slow: usize,
    /// What those who keep up saw, without the others and with them.
    alone: Measured,
    beside: Measured,
    /// When gateways cut slow members, in seconds since the first message; `None` for a server that does not tell.
    cut_after: Option<Vec<f64>>,
    /// Slow members by how they ended.
    endings: BTreeMap<String, usize>,
    /// Of the server, in bytes: before the slow members came, at most while they lagged, and when they were gone.
    resident_before: u64,
    resident_peak: u64,
    resident_after: u64,
}

/// The members that do not keep up.
struct Readers {
    wake: tokio::sync::watch::Sender<bool>,
    tasks: Vec<JoinHandle<String>>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.rate > 0.0, "a rate is positive");
    ensure!(
        args.members > 0 && args.slow > 0,
        "there is nothing to compare without members of both kinds"
    );
    let json = args.json.clone();
    let slow = Slow::measure(args).await?;
    slow.table().print();
    slow.alone.warn();
    slow.beside.warn();
    report::write(json.as_deref(), &slow)?;
    for measured in [&slow.alone, &slow.beside] {
        ensure!(
            measured.is_correct(),
            "members that keep up: {}",
            measured.faults()
        );
    }
    Ok(())
}

impl Slow {
    async fn measure(args: Args) -> anyhow::Result<Self> {
        let duration = Duration::from_secs(args.duration.into());
        let at_most = Duration::from_secs(args.at_most.into());
        let run = Run::start(args.server.clone()).await?;
        let mut load = Load::on(&run, args.load()).await?;
        load.measure(args.rate, REHEARSAL).await?;
        let alone = load.measure(args.rate, duration).await?;
        quiet::wait(&run.server).await?;
        let before = run.server.memory()?;

        eprintln!("the same with {} slow members", args.slow);
        let readers = Readers::open(&run, &args).await?;
        let (cuts, peak) = (Cuts::watch(&run).await?, Peak::watch(&run.server));
        let began = Instant::now();
        let lagging = |_| {
            let all_cut = cuts.as_ref().is_some_and(|cuts| cuts.count() >= args.slow);
            !all_cut && began.elapsed() < at_most
        };
        let beside = load.measure_while(args.rate, lagging).await?;
        let resident_peak = peak.end()?;
        let endings = readers.wake().await?;
        quiet::wait(&run.server).await?;
        Ok(Self {
            members: args.members,
            slow: args.slow,
            alone,
            beside,
            cut_after: cuts.map(|cuts| cuts.times()),
            endings,
            resident_before: before.resident,
            resident_peak,
            resident_after: run.server.memory()?.resident,
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("server", self.alone.label.to_string());
        table.row("without slow members", self.latency(&self.alone));
        table.row("with slow members", self.latency(&self.beside));
        table.row("slow members cut", self.cut());
        let endings = self.endings.iter();
        let endings: Vec<_> = endings.map(|(code, count)| format!("{count} × {code}")).collect();
        table.row("slow members ended", endings.join(", "));
        table.row(
            "server memory",
            format!(
                "{} KiB, at most {} KiB while they lagged, {} KiB when they were gone",
                self.resident_before / 1024,
                self.resident_peak / 1024,
                self.resident_after / 1024
            ),
        );
        let all = [&self.alone, &self.beside];
        let wrong = all.into_iter().find(|measured| !measured.is_correct());
        table.row(
            "check",
            wrong.map_or_else(
                || "who keeps up has every message once and in order, and was not cut".to_owned(),
                Measured::faults,
            ),
        );
        table
    }

    fn latency(&self, measured: &Measured) -> String {
        let latency = &measured.latency;
        format!(
            "{} keep up: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms over {:.1} s; {:.2} s CPU per million",
            self.members,
            latency.p50,
            latency.p99,
            latency.max,
            measured.seconds,
            measured.cpu_seconds_per_million
        )
    }

    fn cut(&self) -> String {
        match self.cut_after.as_deref() {
            None => "the server does not tell when".to_owned(),
            Some([]) => format!("none of {}", self.slow),
            Some(times @ [.., last]) => format!(
                "{} of {}, the last {last:.1} s after the first message",
                times.len(),
                self.slow
            ),
        }
    }
}

impl Args {
    fn load(&self) -> load::Args {
        load::Args {
            members: self.members,
            rooms: 1,
            size: self.size,
            by: By::Socket,
            publishers: 1,
            warmup: 0,
        }
    }
}

impl Readers {
    /// They count for themselves: what they miss is no fault.
    async fn open(run: &Run, args: &Args) -> anyhow::Result<Self> {
        let run = run.beside(args.receive_buffer)?;
        let (wake, awake) = channel(false);
        let every = args.reads_every.map(Duration::from_millis);
        let mut tasks = Vec::new();
        for slow in 0..args.slow {
            // Behind the numbers of the members and of who publishes.
            let number = args.members + 1 + slow;
            let client = Client::open(&run, number, Some(&run.room(0))).await?;
            tasks.push(spawn_local(reader::lag(client, every, awake.clone())));
        }
        Ok(Self { wake, tasks })
    }

    /// They read what is left for them. Returns how many ended how.
    async fn wake(self) -> anyhow::Result<BTreeMap<String, usize>> {
        // Nobody hears it when all have ended.
        let _ = self.wake.send(true);
        let mut endings = BTreeMap::new();
        for task in self.tasks {
            let ending = match timeout(LAST_LIMIT, task).await {
                Ok(ending) => ending?,
                Err(_) => reader::STILL_THERE.to_owned(),
            };
            *endings.entry(ending).or_default() += 1;
        }
        Ok(endings)
    }
}
