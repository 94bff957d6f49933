//! Everybody drops at once and comes back as clients do: how long it takes, what it costs the server, and what members of
//! other rooms see of it ([`bystanders`]). In the end every room gets a message, which must reach everybody.
//!
//! `reconnect` is the same for durable rooms, with what each client missed.

mod backoff;

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    bystanders::{self, Bystanders, Phases},
    crowd::{self, Crowd},
    pace::micros,
    publisher::{By, Publisher},
    report::{self, Table},
    run::Run,
    server::{self, Label},
    tally::{Quantiles, add, histogram},
    usage::{self, Accounts, ClientShare, Usage},
};

/// After which a client gives up an attempt, as centrifuge-js does.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// For the messages of the check to reach everybody.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
const CHECK_SIZE: usize = 100;
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
#[group(id = "storm_args")]
pub struct Args {
    #[command(flatten)]
    members: Members,
    /// Fail when somebody is not back after so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    within: u32,
    /// Time for which the bystanders are measured before and after the storm
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    duration: u32,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    bystanders: bystanders::Args,
    #[command(flatten)]
    server: server::Args,
}

#[derive(Clone, Copy, Debug, Serialize, clap::Args)]
#[group(id = "storm_members_args")]
struct Members {
    /// Members that drop and come back
    #[arg(long = "members", default_value_t = 5_000)]
    #[serde(rename = "members")]
    count: usize,
    /// Rooms that they are spread over
    #[arg(long, default_value_t = 10)]
    rooms: usize,
    /// They come back at once and not after 0.5 to 1 s; after a failure they back off all the same
    #[arg(long)]
    at_once: bool,
}

#[derive(Debug, Serialize)]
struct Storm {
    #[serde(flatten)]
    label: Label,
    #[serde(flatten)]
    members: Members,
    /// From the drop until the last one was back.
    seconds: f64,
    /// From the drop until one was back, in milliseconds.
    back: Quantiles,
    /// From when an attempt that succeeded was due until its client had joined, in milliseconds.
    joins: Quantiles,
    /// Attempts that failed.
    refused: u64,
    refusal: Option<String>,
    server_cpu_seconds: f64,
    /// For each member, what it costs to notice that it is gone and to take it back.
    server_cpu_milliseconds: f64,
    #[serde(flatten)]
    client: ClientShare,
    /// Cores that everything but the server, this client and the bystanders used.
    others_cores: f64,
    others: Phases,
}

/// What came of the attempts. Histograms in microseconds.
struct Returns {
    dropped: Instant,
    back: RefCell<Histogram<u64>>,
    joins: RefCell<Histogram<u64>>,
    refused: Cell<u64>,
    refusal: RefCell<Option<String>>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.members.count > 0 && args.members.rooms > 0,
        "a storm needs members and rooms"
    );
    let json = args.json.clone();
    let storm = Storm::measure(args).await?;
    storm.table().print();
    usage::warn(storm.client, storm.others_cores);
    storm.others.warn();
    report::write(json.as_deref(), &storm)?;
    ensure!(storm.others.is_correct(), "the other rooms had faults");
    Ok(())
}

impl Storm {
    async fn measure(args: Args) -> anyhow::Result<Self> {
        let duration = Duration::from_secs(args.duration.into());
        let run = Run::start(args.server).await?;
        let Members { count, rooms, .. } = args.members;
        eprintln!("opening {count} connections in {rooms} rooms");
        let crowd = crowd::open(&run, 0, count, rooms).await?;
        let mut others = Bystanders::start(&run.server, &args.bystanders).await?;
        let before = others.measure(duration).await?;

        others.begin()?;
        let accounts = Accounts::now(&run.server)?;
        eprintln!("everybody drops");
        let returns = Rc::new(Returns::new()?);
        crowd.leave();
        let coming = args.members.come_back(&run, &crowd, &returns);
        let all = timeout(Duration::from_secs(args.within.into()), coming).await;
        let seconds = returns.dropped.elapsed().as_secs_f64();
        let used = Accounts::now(&run.server)?.since(&accounts);
        all.with_context(|| {
            let (back, trouble) = (crowd.size(), run.trouble());
            format!("{back} of {count} are back after {seconds:.0} s; first: {trouble}")
        })??;
        let during = others.end().await?;
        let after = others.measure(duration).await?;
        args.members.hear(&run).await?;
        let others = Phases {
            before,
            during,
            after,
        };
        Ok(Self::of(&run, args.members, seconds, used, &returns, others))
    }

    #[expect(clippy::cast_precision_loss, reason = "connections of one run")]
    fn of(run: &Run, members: Members, seconds: f64, used: Usage, returns: &Returns, others: Phases) -> Self {
        let cpu = used.server.used().as_secs_f64();
        Self {
            label: run.server.label.clone(),
            members,
            seconds,
            back: Quantiles::of(&returns.back.borrow()),
            joins: Quantiles::of(&returns.joins.borrow()),
            refused: returns.refused.get(),
            refusal: returns.refusal.borrow().clone(),
            server_cpu_seconds: cpu,
            server_cpu_milliseconds: cpu * 1_000.0 / members.count as f64,
            client: used.client,
            others_cores: others.apart_from_bystanders(used.others_cores),
            others,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("server", self.label.to_string());
        table.row(
            "dropped and back",
            format!(
                "{} members of {} rooms in {:.2} s, each p50 {:.0} ms, p99 {:.0} ms",
                self.members.count, self.members.rooms, self.seconds, self.back.p50, self.back.p99
            ),
        );
        table.row(
            "a connect and join",
            format!(
                "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
                self.joins.p50, self.joins.p99, self.joins.max
            ),
        );
        let first = self.refusal.as_ref();
        let first = first.map_or_else(String::new, |refusal| format!("; first: {refusal}"));
        table.row("attempts refused", format!("{}{first}", self.refused));
        table.row(
            "server CPU",
            format!(
                "{:.2} s, {:.3} ms a member",
                self.server_cpu_seconds, self.server_cpu_milliseconds
            ),
        );
        self.others.rows(&mut table);
        table.row("check", "everybody is back and gets what is published");
        table
    }
}

impl Returns {
    /// From now on.
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            dropped: Instant::now(),
            back: RefCell::new(histogram()?),
            joins: RefCell::new(histogram()?),
            refused: Cell::default(),
            refusal: RefCell::default(),
        })
    }

    /// One member comes back.
    async fn one(&self, run: &Rc<Run>, crowd: &Crowd, number: usize, room: String, mut delay: Duration) {
        for failed in 1.. {
            let due = Instant::now() + delay;
            sleep_until(due).await;
            let attempt = timeout(ATTEMPT_LIMIT, crowd.open(run, number, room.clone())).await;
            let Err(error) = attempt.context("an attempt took too long").flatten() else {
                let (join, away) = (micros(due.elapsed()), micros(self.dropped.elapsed()));
                self.joins.borrow_mut().saturating_record(join);
                self.back.borrow_mut().saturating_record(away);
                return;
            };
            add(&self.refused, 1);
            run.tally.note(|| format!("{error:#}"));
            let mut refusal = self.refusal.borrow_mut();
            refusal.get_or_insert_with(|| format!("{error:#}"));
            delay = backoff::delay(failed);
        }
    }
}

impl Members {
    /// Waits until everybody is back.
    async fn come_back(self, run: &Rc<Run>, crowd: &Crowd, returns: &Rc<Returns>) -> anyhow::Result<()> {
        let mut coming = JoinSet::new();
        for member in 0..self.count {
            let (run, crowd, returns) = (run.clone(), crowd.clone(), returns.clone());
            let room = crowd::room(&run, member, self.rooms);
            let delay = if self.at_once {
                Duration::ZERO
            } else {
                backoff::delay(0)
            };
            // Ports of connections that have just ended are not free yet.
            let number = member + self.count;
            coming.spawn_local(async move { returns.one(&run, &crowd, number, room, delay).await });
        }
        while let Some(member) = coming.join_next().await {
            member?;
        }
        Ok(())
    }

    /// Publishes one message in each room and waits until every member has it.
    #[expect(clippy::cast_precision_loss, reason = "rooms of one run")]
    async fn hear(self, run: &Rc<Run>) -> anyhow::Result<()> {
        let tally = &run.tally;
        let expected = tally.in_order() + self.count as u64;
        let mut publisher =
            Publisher::open(run, By::Socket, 2 * self.count, 1, self.rooms, CHECK_SIZE).await?;
        let second = Duration::from_secs(1);
        publisher.publish(self.rooms as f64, tally.now(), second).await?;
        let limit = Instant::now() + CHECK_LIMIT;
        while tally.in_order() < expected && Instant::now() < limit {
            sleep(POLL).await;
        }
        let missed = expected - tally.in_order();
        ensure!(
            missed == 0 && tally.ended.get() == 0 && tally.repeated.get() == 0,
            "of {} who are back {missed} get nothing, {} were cut, {} messages came twice; first: {}",
            self.count,
            tally.ended.get(),
            tally.repeated.get(),
            run.trouble()
        );
        Ok(())
    }
}
