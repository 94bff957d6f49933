//! Everything bad at once: what it does to those who only chat, and to the server's memory.
//!
//! The floods are of clients that mean ill or are broken (`floods`): one that sends commands without end, sockets whose requests
//! never end, some of them a byte at a time and some in their bodies, members that never read, and a publisher at ten times what
//! its room takes. The bystanders ([`bystanders`]) are measured without them, beside them, and after them; others (`newcomers`)
//! connect beside them. The server says in its own metrics what it refused and by which name.

mod floods;
mod newcomers;

use std::{collections::BTreeMap, path::PathBuf, rc::Rc, time::Duration};

use anyhow::ensure;
use natter_tests::gateway::Metrics;
use serde::Serialize;
use tokio::{
    join,
    time::{Instant, sleep},
};

use self::{
    floods::{Floods, Sent},
    newcomers::Newcomers,
};
use crate::{
    bystanders::{self, Bystanders, Phases},
    metrics::{count, scrape},
    report::{self, Table, grouped},
    run::Run,
    server,
};

/// How often the server's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The gateway's default, which other measurements turn off.
const COMMANDS: &str = "client.rate_limit.commands=2000";
/// Counters of what was refused, ended or held back, and their label.
const COUNTERS: [(&str, &str); 4] = [
    ("natter_limited_total", "limit"),
    ("natter_handshake_failures_total", "kind"),
    ("natter_disconnects_total", "reason"),
    ("natter_publications_refused_total", "reason"),
];

#[derive(Debug, clap::Args)]
#[group(id = "abuse_args")]
pub struct Args {
    /// Commands a second of one client
    #[arg(long, default_value_t = 50_000)]
    commands: u32,
    /// Sockets with half a request
    #[arg(long, default_value_t = 5_000)]
    half_open: usize,
    /// Sockets that send a request's head a byte at a time
    #[arg(long, default_value_t = 200)]
    trickling: usize,
    /// Sockets that send the body of a request without end
    #[arg(long, default_value_t = 5_000)]
    bodies: usize,
    /// Members of a room that never read
    #[arg(long, default_value_t = 2_000)]
    deaf: usize,
    /// Publications a second of one client into that room, which takes a tenth
    #[arg(long, default_value_t = 500)]
    publications: u32,
    /// Bytes of such a publication
    #[arg(long, default_value_t = 1_000)]
    size: usize,
    /// Time of the floods, and of each measurement without them
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    duration: u32,
    /// Fail when p99 of the bystanders during the floods is longer
    #[arg(long, value_name = "MILLISECONDS")]
    max_p99: Option<f64>,
    /// Fail when the server's resident memory is ever more
    #[arg(long, value_name = "MIB")]
    max_resident: Option<u64>,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    bystanders: bystanders::Args,
    #[command(flatten)]
    server: server::Args,
}

#[derive(Debug, Serialize)]
struct Abuse {
    sent: Sent,
    newcomers: Newcomers,
    others: Phases,
    /// Of the server, in bytes: before the floods, at most during them, and after them.
    resident_before: u64,
    resident_peak: u64,
    resident_after: u64,
    /// By counter and label, during the floods.
    counted: BTreeMap<String, u64>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.duration > 0 && args.commands > 0, "floods take some time");
    let (json, max_p99, max_resident) = (args.json.clone(), args.max_p99, args.max_resident);
    let abuse = Abuse::measure(args).await?;
    abuse.table().print();
    abuse.others.warn();
    report::write(json.as_deref(), &abuse)?;
    abuse.check(max_p99, max_resident)
}

impl Abuse {
    async fn measure(args: Args) -> anyhow::Result<Self> {
        let duration = Duration::from_secs(args.duration.into());
        let room_rate = args.publications.div_ceil(10);
        let limit = format!("rooms.default.publication_rate={room_rate}");
        let size = floods::Size::of(&args);
        let run = Run::start(args.server.with_settings([limit, COMMANDS.to_owned()])).await?;
        let mut others = Bystanders::start(&run.server, &args.bystanders).await?;
        eprintln!("without floods, for {duration:?}");
        let before = others.measure(duration).await?;
        let (resident_before, counted_before) = (run.server.memory()?.resident, counters(&run).await?);
        eprintln!("with floods, for {duration:?}");
        let floods = Floods::start(&run, &size).await?;
        others.begin()?;
        let (resident_peak, newcomers) = join!(peak(&run, duration), Newcomers::come(&run, duration));
        let during = others.end().await?;
        let counted = counted_since(&run, &counted_before).await?;
        let sent = floods.stop();
        eprintln!("without floods again, for {duration:?}");
        let after = others.measure(duration).await?;
        Ok(Self {
            sent,
            newcomers,
            others: Phases {
                before,
                during,
                after,
            },
            resident_before,
            resident_peak: resident_peak?,
            resident_after: run.server.memory()?.resident,
            counted,
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let Sent {
            commands,
            half_open,
            trickling,
            bodies,
            deaf,
            publications,
        } = self.sent;
        table.row(
            "floods",
            format!(
                "{} commands taken, {half_open} + {trickling} sockets without a request and {bodies} without its body opened, {deaf} deaf members, {} publications",
                number(commands),
                number(publications)
            ),
        );
        let Newcomers { came, let_in } = self.newcomers;
        table.row("newcomers", format!("{let_in} of {came} came in"));
        self.others.rows(&mut table);
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        table.row(
            "resident",
            format!(
                "{} before, at most {}, {} after",
                mib(self.resident_before),
                mib(self.resident_peak),
                mib(self.resident_after)
            ),
        );
        for (name, count) in &self.counted {
            table.row("counted", format!("{name}: {}", number(*count)));
        }
        table
    }

    fn check(&self, max_p99: Option<f64>, max_resident: Option<u64>) -> anyhow::Result<()> {
        ensure!(self.others.is_correct(), "those who only chat had faults");
        let Newcomers { came, let_in } = self.newcomers;
        ensure!(2 * let_in > came, "{let_in} of {came} newcomers came in");
        let p99 = self.others.during.latency.p99;
        ensure!(
            max_p99.is_none_or(|bound| p99 <= bound),
            "p99 of those who only chat was {p99:.1} ms"
        );
        let peak = self.resident_peak >> 20;
        ensure!(
            max_resident.is_none_or(|bound| peak <= bound),
            "the server had {peak} MiB"
        );
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run")]
fn number(count: u64) -> String {
    grouped(count as f64)
}

/// The most that the server's memory is meanwhile.
async fn peak(run: &Rc<Run>, duration: Duration) -> anyhow::Result<u64> {
    let until = Instant::now() + duration;
    let mut most = 0;
    while Instant::now() < until {
        most = most.max(run.server.memory()?.resident);
        sleep(LOOK_EVERY).await;
    }
    Ok(most)
}

async fn counters(run: &Rc<Run>) -> anyhow::Result<Vec<Metrics>> {
    let mut all = Vec::new();
    for ops in run.server.all_ops() {
        all.push(scrape(*ops).await?);
    }
    Ok(all)
}

async fn counted_since(run: &Rc<Run>, before: &[Metrics]) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counted = BTreeMap::new();
    for (now, before) in counters(run).await?.iter().zip(before) {
        for (name, label) in COUNTERS {
            for value in now.labels(name, label) {
                let labels = [(label, value)];
                let moved = count(now, name, &labels) - count(before, name, &labels);
                if moved > 0 {
                    *counted
                        .entry(format!("{name}{{{label}=\"{value}\"}}"))
                        .or_default() += moved;
                }
            }
        }
    }
    Ok(counted)
}
