//! A load with a shape, and what it costs the server at one rate.

use std::{rc::Rc, time::Duration};

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    crowd,
    publisher::{By, Publisher},
    report::{Table, grouped},
    run::Run,
    server::{self, Label},
    stamp::MIN_SIZE,
    tally::Quantiles,
    usage::{self, Accounts, ClientShare},
};

/// A message that does not come for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Time for what comes twice to come the second time.
const REPEATED_WITHIN: Duration = Duration::from_millis(200);
/// The kernel's accounts of a process are no finer: what used less counts as so much.
const CPU_TICK: f64 = 0.01;
const POLL: Duration = Duration::from_millis(2);

#[derive(Clone, Debug, clap::Args)]
#[group(id = "load_args")]
pub struct Args {
    /// Members of each room
    #[arg(long, default_value_t = 1_000)]
    pub members: usize,
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 200)]
    pub size: usize,
    /// How messages are published
    #[arg(long, value_enum, default_value_t = By::Socket)]
    pub by: By,
    /// Connections that publish
    #[arg(long, default_value_t = 4)]
    pub publishers: usize,
    /// Time before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub warmup: u32,
}

pub struct Load {
    run: Rc<Run>,
    publisher: Publisher,
    members: u64,
    warmup: Duration,
}

/// What one rate costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    #[serde(flatten)]
    pub label: Label,
    /// Messages a second that the schedule wanted, over all rooms.
    pub rate: f64,
    pub seconds: f64,
    pub deliveries: u64,
    pub deliveries_per_second: f64,
    /// On the wire, with the headers of frames but not of TCP and IP.
    pub bytes_per_delivery: f64,
    pub server_cpu_seconds: f64,
    pub server_user_seconds: f64,
    pub server_system_seconds: f64,
    /// Cores that the server used on average.
    pub server_cores: f64,
    /// Of the NATS beside the gateways, which is no part of the server.
    pub bus_cpu_seconds: Option<f64>,
    pub cpu_seconds_per_million: f64,
    pub deliveries_per_cpu_second: f64,
    /// From when a message was due to its arrival at a member, in milliseconds.
    pub latency: Quantiles,
    /// From when it was due until the client had it ready to be sent: the part of the latency that is the client's own.
    pub send_delay: Quantiles,
    /// From when the last message was due to the last delivery: the backlog, wherever it waited.
    pub drain_seconds: f64,
    #[serde(flatten)]
    pub client: ClientShare,
    /// Cores that everything else on the machine used: figures count when it was quiet.
    pub others_cores: f64,
    pub lost: u64,
    pub repeated: u64,
    pub refused: u64,
    pub ended: u64,
    pub trouble: Option<String>,
}

struct Reading {
    accounts: Accounts,
    deliveries: u64,
    bytes: u64,
}

impl Load {
    pub async fn open(args: Args, server: server::Args) -> anyhow::Result<Self> {
        Self::on(&Run::start(server).await?, args).await
    }

    /// On a server that is there already.
    pub async fn on(run: &Rc<Run>, args: Args) -> anyhow::Result<Self> {
        let connections = args.members * args.rooms;
        ensure!(
            connections > 0 && args.publishers > 0,
            "a load needs members and publishers"
        );
        ensure!(args.size >= MIN_SIZE, "a message has at least {MIN_SIZE} bytes");
        eprintln!("opening {connections} connections in {} rooms", args.rooms);
        crowd::open(run, 0, connections, args.rooms).await?;
        let opening = Publisher::open(run, args.by, connections, args.publishers, args.rooms, args.size);
        Ok(Self {
            publisher: opening.await?,
            run: run.clone(),
            members: args.members as u64,
            warmup: Duration::from_secs(args.warmup.into()),
        })
    }

    /// Publishes at `rate` for the warm-up and for `duration`, and measures the latter up to the last delivery.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of one run"
    )]
    pub async fn measure(&mut self, rate: f64, duration: Duration) -> anyhow::Result<Measured> {
        eprintln!("publishing {rate:.0} messages/s for {duration:?}");
        let count = (rate * duration.as_secs_f64()).round() as u32;
        ensure!(count > 0, "no message is due within {duration:?}");
        self.measure_while(rate, |published| published < count).await
    }

    /// The same for as long as `goes_on` says so, which is told before each message how many there were.
    pub async fn measure_while(
        &mut self,
        rate: f64,
        goes_on: impl FnMut(u32) -> bool,
    ) -> anyhow::Result<Measured> {
        let start = self.run.tally.now();
        self.publisher.publish(rate, start, self.warmup).await?;
        let start = start + u64::try_from(self.warmup.as_nanos())?;
        self.run.tally.measure_from(start);
        let before = self.read()?;
        let last_due = self.publisher.publish_while(rate, start, goes_on).await?;
        let last_due = self.run.tally.instant(last_due);
        let last = self.wait_for_all().await;
        let after = self.read()?;
        sleep(REPEATED_WITHIN).await;
        Ok(self.judge(rate, &before, &after, last.saturating_duration_since(last_due)))
    }

    /// Ends a server of our own, and with it every connection.
    pub fn close(self) {
        self.run.server.kill();
    }

    fn read(&self) -> anyhow::Result<Reading> {
        Ok(Reading {
            accounts: Accounts::now(&self.run.server)?,
            deliveries: self.run.tally.deliveries.get(),
            bytes: self.run.tally.bytes.get(),
        })
    }

    fn expected(&self) -> u64 {
        let published = self.publisher.published().iter().copied().map(u64::from);
        published.sum::<u64>() * self.members
    }

    /// Waits until every message has come, or none comes any more; returns when the last one came.
    async fn wait_for_all(&self) -> Instant {
        let (expected, tally) = (self.expected(), &self.run.tally);
        let mut seen = tally.deliveries.get();
        let mut last = Instant::now();
        while tally.in_order() < expected && last.elapsed() < LOST_AFTER {
            sleep(POLL).await;
            if tally.deliveries.get() > seen {
                seen = tally.deliveries.get();
                last = Instant::now();
            }
        }
        last
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
    fn judge(&self, rate: f64, before: &Reading, after: &Reading, drain: Duration) -> Measured {
        let tally = &self.run.tally;
        let used = after.accounts.since(&before.accounts);
        let (seconds, cpu) = (used.seconds, used.server.used().as_secs_f64());
        let deliveries = after.deliveries - before.deliveries;
        Measured {
            label: self.run.server.label.clone(),
            rate,
            seconds,
            deliveries,
            deliveries_per_second: deliveries as f64 / seconds,
            bytes_per_delivery: (after.bytes - before.bytes) as f64 / deliveries as f64,
            server_cpu_seconds: cpu,
            server_user_seconds: used.server.user.as_secs_f64(),
            server_system_seconds: used.server.system.as_secs_f64(),
            server_cores: cpu / seconds,
            bus_cpu_seconds: used.bus.map(|bus| bus.as_secs_f64()),
            cpu_seconds_per_million: cpu * 1e6 / deliveries.max(1) as f64,
            deliveries_per_cpu_second: deliveries as f64 / cpu.max(CPU_TICK),
            latency: tally.latencies(),
            send_delay: self.publisher.delays(),
            drain_seconds: drain.as_secs_f64(),
            client: used.client,
            others_cores: used.others_cores,
            lost: self.expected().saturating_sub(tally.in_order()),
            repeated: tally.repeated.get(),
            refused: tally.refused.get(),
            ended: tally.ended.get(),
            trouble: tally.trouble.borrow().clone(),
        }
    }
}

impl Measured {
    /// Every message came once and in order at every member.
    pub fn is_correct(&self) -> bool {
        self.lost + self.repeated + self.refused + self.ended == 0
    }

    pub fn faults(&self) -> String {
        let Self {
            lost,
            repeated,
            refused,
            ended,
            trouble,
            ..
        } = self;
        let trouble = trouble.as_deref().unwrap_or("no reason was given");
        format!(
            "{lost} deliveries lost, {repeated} repeated or out of order, {refused} commands refused, {ended} \
             connections ended; first: {trouble}"
        )
    }

    /// Says on stderr what makes the figures doubtful.
    pub fn warn(&self) {
        usage::warn(self.client, self.others_cores);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
    fn bus_text(&self, bus: f64) -> String {
        let millions = self.deliveries as f64 / 1e6;
        format!(
            "{:.2} s per million, {:.2} cores",
            bus / millions,
            bus / self.seconds
        )
    }

    pub fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("server", self.label.to_string());
        let Quantiles {
            p50, p90, p99, max, ..
        } = self.latency;
        table.row(
            "deliveries",
            format!(
                "{}/s for {:.1} s, {:.0} bytes each",
                grouped(self.deliveries_per_second),
                self.seconds,
                self.bytes_per_delivery
            ),
        );
        table.row(
            "server CPU",
            format!(
                "{:.2} s per million (user {:.0} %), {} deliveries per CPU-second, {:.2} cores",
                self.cpu_seconds_per_million,
                100.0 * self.server_user_seconds / self.server_cpu_seconds,
                grouped(self.deliveries_per_cpu_second),
                self.server_cores
            ),
        );
        if let Some(bus) = self.bus_cpu_seconds {
            table.row("NATS CPU", self.bus_text(bus));
        }
        table.row(
            "latency",
            format!("p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"),
        );
        table.row(
            "sent too late by",
            format!(
                "p50 {:.1} ms, p99 {:.1} ms",
                self.send_delay.p50, self.send_delay.p99
            ),
        );
        table.row(
            "client",
            format!(
                "{:.0} % of its core, {:.0} % waiting for one; others used {:.2} cores",
                100.0 * self.client.client_share,
                100.0 * self.client.client_waiting_share,
                self.others_cores
            ),
        );
        table.row(
            "check",
            if self.is_correct() {
                "every message once and in order".to_owned()
            } else {
                self.faults()
            },
        );
        table
    }
}
