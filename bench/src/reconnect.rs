//! Everybody in one durable room drops and comes back, while messages go on: what it costs the stream, how long it
//! takes, and whether everybody has everything, once and in order.

mod member;

use std::{cell::RefCell, path::PathBuf, rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::spawn_local,
    time::{Instant, interval, sleep, sleep_until},
};

use self::member::Member;
use crate::{
    caller::Caller,
    durable::{self, World},
    metrics::{count, scrape},
    pace::{self, Until},
    report::{self, Table},
    run::Run,
    stamp::{MIN_SIZE, Stamp},
    tally::Quantiles,
};

/// Connections that are being opened at the same time.
const OPENING: usize = 256;
/// With everybody there, before and after.
const TOGETHER: Duration = Duration::from_secs(1);
/// For the last message to reach everybody.
const LAST_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
#[group(id = "reconnect_args")]
pub struct Args {
    /// Members of the room
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// What drops the connections
    #[arg(long, value_enum, default_value_t = Lose::Clients)]
    lose: Lose,
    /// Messages a second, all the time
    #[arg(long, default_value_t = 5)]
    rate: u32,
    /// Time over which the clients drop, so that they do not all miss the same
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000)]
    over: u64,
    /// Time from the last drop to the first return; longer than `bus.linger` (2 s) = the room is joined anew
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_500)]
    away: u64,
    /// Fail when more reads of the stream were needed
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    max_reads: u64,
    /// Fail when it took longer from the first drop to the last return
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    within: u32,
    /// Bytes of a message
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    durable: durable::Args,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Lose {
    /// They close, and come back to the same gateway
    Clients,
    /// It is killed, and they go to another one
    Gateway,
}

#[derive(Debug, Serialize)]
struct Reconnect {
    clients: usize,
    lose: Lose,
    /// From the first drop to the last return.
    seconds: f64,
    /// Of the returns alone.
    return_seconds: f64,
    /// From the connect of one client to the answer with what it missed, in milliseconds.
    returns: Quantiles,
    published: u32,
    /// Messages that recoveries brought, over all clients.
    recovered_messages: u64,
    /// As the gateway counts them.
    reads_of_stream: u64,
    reads_at_hand: u64,
    recovered: u64,
    not_recovered: u64,
    faults: u64,
    fault: Option<String>,
}

struct Bench {
    args: Args,
    world: World,
    members: Vec<Rc<Member>>,
    room: String,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.size >= MIN_SIZE, "a message has at least {MIN_SIZE} bytes");
    ensure!(
        args.clients > 0 && args.rate > 0,
        "there is nothing to measure without clients and messages"
    );
    let (json, within, max_reads) = (args.json.clone(), args.within, args.max_reads);
    let gateways = if args.lose == Lose::Gateway { 2 } else { 1 };
    let world = World::start(&args.durable, gateways, "size: 1000, ttl: 5m", &[]).await?;
    let bench = Bench {
        members: (0..args.clients).map(|_| Rc::default()).collect(),
        room: World::room(0),
        world,
        args,
    };
    let result = bench.measure().await?;
    result.table().print();
    report::write(json.as_deref(), &result)?;
    result.check(f64::from(within), max_reads)
}

impl Bench {
    /// Where the clients come back.
    fn home(&self) -> anyhow::Result<&Rc<Run>> {
        self.world.gateways.last().context("there is no gateway")
    }

    async fn measure(&self) -> anyhow::Result<Reconnect> {
        let (clients, first) = (self.members.len(), self.world.gateways.first());
        let (stop, stopped) = watch::channel(false);
        let publishing = spawn_local(publish(
            self.home()?.clone(),
            self.room.clone(),
            self.args.rate,
            self.args.size,
            stopped,
        ));
        eprintln!("opening {clients} connections");
        let callers = self.open(first.context("there is no gateway")?, false).await?.0;
        sleep(TOGETHER).await;

        eprintln!("dropping them");
        let dropped = Instant::now();
        self.drop_all(callers).await;
        sleep(Duration::from_millis(self.args.away)).await;
        let back = Instant::now();
        let (callers, returns) = self.open(self.home()?, true).await?;
        let (seconds, return_seconds) = (dropped.elapsed(), back.elapsed());

        sleep(TOGETHER).await;
        // The task ends with the answer to its last message.
        let _ = stop.send(true);
        let published = publishing.await??;
        self.wait_for(published).await;
        drop(callers);
        let metrics = scrape(self.home()?.server.ops()?).await?;
        let reads = |source| count(&metrics, "natter_recovery_reads_total", &[("source", source)]);
        let recoveries = |result| count(&metrics, "natter_recoveries_total", &[("result", result)]);
        let faults = self.members.iter().filter_map(|member| member.fault(published));
        let faults: Vec<_> = faults.collect();
        Ok(Reconnect {
            clients,
            lose: self.args.lose,
            seconds: seconds.as_secs_f64(),
            return_seconds: return_seconds.as_secs_f64(),
            returns,
            published,
            recovered_messages: self.members.iter().map(|member| member.recovered()).sum(),
            reads_of_stream: reads("bus"),
            reads_at_hand: reads("memory"),
            recovered: recoveries("recovered"),
            not_recovered: recoveries("not_recovered"),
            faults: faults.len() as u64,
            fault: faults.into_iter().next(),
        })
    }

    /// Connects everybody to `gateway`, and times each.
    async fn open(&self, gateway: &Rc<Run>, again: bool) -> anyhow::Result<(Vec<Caller>, Quantiles)> {
        let callers = Rc::new(RefCell::new(Vec::new()));
        let (opened, members) = (callers.clone(), self.members.clone());
        let (gateway, room) = (gateway.clone(), self.room.clone());
        let opening = pace::in_flight(OPENING, Until::Calls(self.members.len()), move |_, call| {
            // Ports of connections that have just ended are not free yet.
            let number = if again { call + members.len() } else { call };
            let member = members[call].clone();
            let (gateway, room, opened) = (gateway.clone(), room.clone(), opened.clone());
            async move {
                let caller = member.open(&gateway, number, &room).await?;
                opened.borrow_mut().push(caller);
                Ok(())
            }
        });
        let timed = opening.await?;
        timed.check("connections")?;
        Ok((callers.take(), timed.latency))
    }

    async fn drop_all(&self, callers: Vec<Caller>) {
        match self.args.lose {
            Lose::Gateway => {
                if let Some(gateway) = self.world.gateways.first() {
                    gateway.server.kill();
                }
                // What the kernel had of it still arrives.
                sleep(Duration::from_millis(self.args.over)).await;
            }
            Lose::Clients => {
                let over = Duration::from_millis(self.args.over);
                let step = over / u32::try_from(callers.len()).unwrap_or(u32::MAX);
                let mut next = Instant::now();
                for caller in callers {
                    next += step;
                    sleep_until(next).await;
                    drop(caller);
                }
            }
        }
    }

    /// Waits until everybody has the message with this number, or it is too late.
    async fn wait_for(&self, published: u32) {
        let limit = Instant::now() + LAST_LIMIT;
        while Instant::now() < limit && self.members.iter().any(|member| !member.has(published)) {
            sleep(POLL).await;
        }
    }
}

/// Publishes numbers from 1 on until told to stop; gives the last.
async fn publish(
    run: Rc<Run>,
    room: String,
    rate: u32,
    size: usize,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<u32> {
    let caller = Caller::by_http(&run, 0).await?;
    let mut tick = interval(Duration::from_secs(1) / rate);
    let mut number = 0;
    while !*stopped.borrow() {
        tick.tick().await;
        number += 1;
        let message = Stamp { due: 0, number }.message(size);
        caller.post(&run, &room, &message).await?;
    }
    Ok(number)
}

impl Reconnect {
    fn check(&self, within: f64, max_reads: u64) -> anyhow::Result<()> {
        let clients = self.clients as u64;
        ensure!(
            self.faults == 0,
            "{} clients do not have everything once and in order: {}",
            self.faults,
            self.fault.as_deref().unwrap_or_default()
        );
        ensure!(
            self.recovered == clients && self.not_recovered == 0,
            "{} of {clients} recovered, {} were told that they had not",
            self.recovered,
            self.not_recovered
        );
        ensure!(
            self.recovered_messages >= clients,
            "recoveries brought {} messages: too few to prove anything",
            self.recovered_messages
        );
        ensure!(
            self.reads_of_stream <= max_reads,
            "{} reads of the stream, more than {max_reads}",
            self.reads_of_stream
        );
        ensure!(
            self.seconds <= within,
            "it took {:.1} s, more than {within}",
            self.seconds
        );
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let Quantiles { p50, p99, max, .. } = self.returns;
        table.row(
            "dropped and back",
            format!(
                "{} clients in {:.1} s, {:.1} s of it for the returns",
                self.clients, self.seconds, self.return_seconds
            ),
        );
        table.row(
            "a return",
            format!("p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms"),
        );
        table.row(
            "recovered",
            format!(
                "{} clients, {} messages; {} not",
                self.recovered, self.recovered_messages, self.not_recovered
            ),
        );
        table.row(
            "reads",
            format!(
                "{} of the stream, {} at hand",
                self.reads_of_stream, self.reads_at_hand
            ),
        );
        table.row(
            "check",
            match &self.fault {
                None => format!(
                    "everybody has all of {} messages once and in order",
                    self.published
                ),
                Some(fault) => format!("{} clients with faults; first: {fault}", self.faults),
            },
        );
        table
    }
}
