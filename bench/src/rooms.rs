//! What many durable rooms cost: memory of NATS for each that is stored, of NATS and the gateway for each that is live,
//! and whether publications and joins take longer among many.

use std::{path::PathBuf, rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    caller::Caller,
    durable::{self, ROOMS_OF_CLIENT, World},
    metrics::{count, scrape},
    pace::{self, Timed, Until},
    protocol::Event,
    report::{self, Table, grouped},
    run::Run,
    stamp::{MIN_SIZE, Stamp},
    tally::Quantiles,
};

/// For what is on its way to arrive: deliveries, the last unsubscriptions.
const SETTLE: Duration = Duration::from_secs(1);
/// Memory counts when it does not shrink any more: allocators give back what was freed over some seconds.
const STEADY_FOR: Duration = Duration::from_secs(4);
const STEADY_LIMIT: Duration = Duration::from_secs(40);
/// What may still come back without being waited for, in bytes.
const STEADY_WITHIN: u64 = 1 << 20;
/// Connections that publish.
const PUBLISHERS: usize = 8;
/// Connections that join one room at a time.
const JOINERS: usize = 16;

#[derive(Debug, clap::Args)]
#[group(id = "rooms_args")]
pub struct Args {
    /// Rooms that are stored, with one message each to begin with
    #[arg(long, default_value_t = 100_000)]
    rooms: usize,
    /// Rooms that somebody is in [default: half of them]
    #[arg(long)]
    live: Option<usize>,
    /// Publications a second, spread over the rooms
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// First joins a second
    #[arg(long, default_value_t = 200.0)]
    joins: f64,
    /// Joins that are under way at once while the live rooms fill; a client has 100 of them
    #[arg(long, default_value_t = 10_000)]
    storm: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Time of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u32,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    durable: durable::Args,
}

/// Bytes of resident memory.
#[derive(Clone, Copy, Debug, Serialize)]
struct Resident {
    gateway: u64,
    nats: u64,
}

impl Resident {
    fn sum(self) -> u64 {
        self.gateway + self.nats
    }
}

#[derive(Debug, Serialize)]
struct Rooms {
    rooms: usize,
    live: usize,
    before: Resident,
    stored: Resident,
    occupied: Resident,
    /// Of NATS, for a room with one message.
    nats_bytes_stored: f64,
    /// Of NATS and of the gateway, for a room that somebody is in.
    nats_bytes_live: f64,
    gateway_bytes_live: f64,
    /// Subscriptions at NATS that came with the live rooms.
    subscriptions: u64,
    /// Until acknowledged, while nobody is in a room, and with the live rooms.
    publish_quiet: Timed,
    publish_live: Timed,
    /// From when a message was due to its arrival at the member.
    delivery: Quantiles,
    /// First joins, before and with the live rooms.
    join_quiet: Timed,
    join_live: Timed,
    /// All live rooms, as fast as they go.
    storm: Timed,
    joins_delayed: u64,
}

struct Bench {
    args: Args,
    world: World,
    gateway: Rc<Run>,
    publishers: Rc<Vec<Caller>>,
    joiners: Rc<Vec<Caller>>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.size >= MIN_SIZE, "a message has at least {MIN_SIZE} bytes");
    let live = args.live.unwrap_or(args.rooms / 2);
    ensure!(
        live > 0 && live < args.rooms,
        "some rooms are live and some are not"
    );
    let json = args.json.clone();
    let bench = Bench::open(args).await?;
    let rooms = bench.measure(live).await?;
    rooms.table().print();
    report::write(json.as_deref(), &rooms)?;
    rooms.check()
}

impl Bench {
    async fn open(args: Args) -> anyhow::Result<Self> {
        // Without linger, so that every join of an empty room is a first join.
        let world = World::start(&args.durable, 1, "size: 10, ttl: 1h", &["bus.linger=0s"]).await?;
        let gateway = world.gateways.first().context("there is no gateway")?.clone();
        let (mut publishers, mut joiners) = (Vec::new(), Vec::new());
        for number in 0..PUBLISHERS {
            publishers.push(Caller::by_socket(&gateway, number, |_| {}).await?);
        }
        for number in 0..JOINERS {
            joiners.push(Caller::by_socket(&gateway, number, |_| {}).await?);
        }
        Ok(Self {
            args,
            world,
            gateway,
            publishers: Rc::new(publishers),
            joiners: Rc::new(joiners),
        })
    }

    async fn measure(&self, live: usize) -> anyhow::Result<Rooms> {
        let rooms = self.args.rooms;
        // What is there once is no cost of a room.
        self.fill(rooms, rooms + 1_000).await?;
        self.join_at_rate(rooms, 1_000, Duration::from_secs(2)).await?;
        let before = self.resident().await?;

        eprintln!("storing a message in each of {rooms} rooms");
        self.fill(0, rooms).await?;
        let stored = self.resident().await?;
        let publish_quiet = self.publish(rooms).await?;
        let join_quiet = self.join_at_rate(live, rooms - live, self.duration()).await?;
        let quiet = self.resident().await?;
        let subscriptions = self.world.subscriptions().await?;

        eprintln!("joining {live} of them");
        let (members, storm) = self.occupy(live).await?;
        let occupied = self.resident().await?;
        let subscriptions = self.world.subscriptions().await?.saturating_sub(subscriptions);
        self.gateway.tally.measure_from(self.gateway.tally.now());
        let publish_live = self.publish(live).await?;
        sleep(SETTLE).await;
        let delivery = self.gateway.tally.latencies();
        let join_live = self.join_at_rate(live, rooms - live, self.duration()).await?;
        let metrics = scrape(self.gateway.server.ops()?).await?;
        drop(members);
        Ok(Rooms {
            rooms,
            live,
            before,
            stored,
            occupied,
            nats_bytes_stored: each(before.nats, stored.nats, rooms),
            nats_bytes_live: each(quiet.nats, occupied.nats, live),
            gateway_bytes_live: each(quiet.gateway, occupied.gateway, live),
            subscriptions,
            publish_quiet,
            publish_live,
            delivery,
            join_quiet,
            join_live,
            storm,
            joins_delayed: count(&metrics, "natter_joins_delayed_total", &[]),
        })
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.args.duration.into())
    }

    /// Memory when nothing happens any more.
    async fn resident(&self) -> anyhow::Result<Resident> {
        let limit = Instant::now() + STEADY_LIMIT;
        let mut before = self.resident_now()?;
        loop {
            sleep(STEADY_FOR).await;
            let now = self.resident_now()?;
            let is_steady = now.sum() + STEADY_WITHIN > before.sum();
            if is_steady || Instant::now() > limit {
                return Ok(now);
            }
            before = now;
        }
    }

    fn resident_now(&self) -> anyhow::Result<Resident> {
        Ok(Resident {
            gateway: self.gateway.server.memory()?.resident,
            nats: self.world.nats_memory()?,
        })
    }

    /// Publishes one message to each of the rooms `first..end`.
    async fn fill(&self, first: usize, end: usize) -> anyhow::Result<()> {
        let (publishers, gateway, size) = (self.publishers.clone(), self.gateway.clone(), self.args.size);
        let publish = move |slot: usize, number: usize| {
            let message = Stamp { due: 0, number: 0 }.message(size);
            publishers[slot % PUBLISHERS].publish(&gateway, &World::room(first + number), &message)
        };
        let filled = pace::in_flight(256, Until::Calls(end - first), publish);
        filled.await?.check("publications")
    }

    /// Publishes into the first `rooms` rooms in a random order.
    async fn publish(&self, rooms: usize) -> anyhow::Result<Timed> {
        let (publishers, gateway, size) = (self.publishers.clone(), self.gateway.clone(), self.args.size);
        let timed = pace::at_rate(self.args.rate, self.duration(), move |number| {
            let due = gateway.tally.now();
            let message = Stamp { due, number: 0 }.message(size);
            let room = World::room(fastrand::usize(..rooms));
            publishers[number % PUBLISHERS].publish(&gateway, &room, &message)
        })
        .await?;
        timed.check("publications")?;
        Ok(timed)
    }

    /// Joins `rooms` rooms from `first` on one after another, again and again, and leaves each at once.
    async fn join_at_rate(&self, first: usize, rooms: usize, duration: Duration) -> anyhow::Result<Timed> {
        let joiners = self.joiners.clone();
        let timed = pace::at_rate(self.args.joins, duration, move |number| {
            let caller = &joiners[number % JOINERS];
            let room = World::room(first + number % rooms);
            let joined = caller.join(&room, None);
            let left = caller.leave(&room);
            async move {
                joined.await?;
                tokio::task::spawn_local(left);
                Ok(())
            }
        })
        .await?;
        timed.check("joins")?;
        Ok(timed)
    }

    /// Puts a member into each of the first `live` rooms.
    async fn occupy(&self, live: usize) -> anyhow::Result<(Rc<Vec<Caller>>, Timed)> {
        let mut members = Vec::new();
        for number in 0..live.div_ceil(ROOMS_OF_CLIENT) {
            let run = self.gateway.clone();
            let heard = move |event: &Event<'_>| {
                if let Event::Delivered(text) = event {
                    // Every message has number 0: what is measured is time alone.
                    run.tally.delivered(text, run.tally.now(), &mut 0);
                }
            };
            members.push(Caller::by_socket(&self.gateway, number, heard).await?);
        }
        let members = Rc::new(members);
        let joiners = members.clone();
        let join = move |_, number: usize| {
            let joined = joiners[number % joiners.len()].join(&World::room(number), None);
            async move { joined.await.map(drop) }
        };
        let storm = pace::in_flight(self.args.storm.min(live), Until::Calls(live), join).await?;
        storm.check("joins")?;
        Ok((members, storm))
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
fn each(before: u64, after: u64, count: usize) -> f64 {
    (after as f64 - before as f64) / count as f64
}

impl Rooms {
    /// One subscription at NATS for each live room.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.subscriptions == self.live as u64,
            "{} subscriptions at NATS for {} live rooms",
            self.subscriptions,
            self.live
        );
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let mib = |bytes: u64| bytes / (1 << 20);
        table.row(
            "rooms",
            format!("{} stored, {} of them live", self.rooms, self.live),
        );
        table.row(
            "NATS, each stored room",
            format!(
                "{} bytes (grew from {} to {} MiB)",
                grouped(self.nats_bytes_stored.max(0.0)),
                mib(self.before.nats),
                mib(self.stored.nats)
            ),
        );
        table.row(
            "each live room",
            format!(
                "{} bytes at NATS, {} in the gateway (which has {} MiB now); {} subscriptions",
                grouped(self.nats_bytes_live.max(0.0)),
                grouped(self.gateway_bytes_live.max(0.0)),
                mib(self.occupied.gateway),
                self.subscriptions
            ),
        );
        table.row("publish, nobody there", self.publish_quiet.latency_text());
        table.row("publish, rooms live", self.publish_live.latency_text());
        table.row(
            "delivery",
            format!("p50 {:.2} ms, p99 {:.2} ms", self.delivery.p50, self.delivery.p99),
        );
        table.row("first join, none live", self.join_quiet.latency_text());
        table.row("first join, rooms live", self.join_live.latency_text());
        table.row(
            "all joined in",
            format!(
                "{:.2} s, {}/s, {}; {} waited for their turn",
                self.storm.seconds,
                grouped(self.storm.per_second),
                self.storm.latency_text(),
                self.joins_delayed
            ),
        );
        table.row(
            "sent too late by",
            format!(
                "p50 {:.2} ms, p99 {:.2} ms",
                self.publish_live.late.p50, self.publish_live.late.p99
            ),
        );
        table
    }
}
