//! What a message costs whoever receives it, and a room whoever subscribes it: the gateway's bus beside subscriptions of
//! async-nats, each in a process of its own, in turns and at one server.
//!
//! Both read the headers of a publication. The bus also makes a publication of it; the other has a task for each room, as
//! a stream of messages asks for. Prints the table of `docs/benchmarks.md`.

use std::env::{args, current_exe};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use natter_gateway::bus::{Bus, BusEvents, Nats, Overloaded, Subjects};
use natter_gateway::channel::Channel;
use natter_gateway::history::Position;
use natter_gateway::publication::Publication;
use natter_tests::nats::NatsServer;
use natter_tests::process::Process;
use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

#[path = "shared/bus.rs"]
mod shared;

const PREFIX: &str = "receive";
const ROOMS: [usize; 3] = [1, 100, 10_000];
const MESSAGES: u64 = 1_000_000;
const RUNS: usize = 5;
/// Messages under way at most, less than what async-nats keeps for one subscription.
const UNDER_WAY: u64 = 32_768;
/// The receiver says how far it is after so many.
const STEP: u64 = 4_096;
const LIMIT: Duration = Duration::from_mins(2);

/// Counts what comes and tells the publisher.
struct Counter {
    count: AtomicU64,
    client: Client,
    /// Where the publisher of this run listens.
    progress: String,
    all: Notify,
}

impl Counter {
    fn one(self: &Arc<Self>) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_multiple_of(STEP) || count == MESSAGES {
            let this = self.clone();
            tokio::spawn(async move {
                let subject = this.progress.clone();
                this.client.publish(subject, count.to_string().into()).await
            });
        }
        if count == MESSAGES {
            self.all.notify_one();
        }
    }
}

struct Events(Arc<Counter>);

impl BusEvents for Events {
    fn publication(&self, _channel: &str, _publication: Publication) -> Result<(), Overloaded> {
        self.0.one();
        Ok(())
    }

    fn control(&self, _message: Bytes) {}

    fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

    fn removed(&self, _: &str) {}

    fn lost(&self, _channel: &str, _position: Position) {}
}

fn room(number: usize) -> String {
    format!("room-{number}")
}

/// Whether it is a publication.
fn is_readable(message: &Message) -> bool {
    let header = |name| {
        message
            .headers
            .as_ref()?
            .get(name)
            .map(|value| value.as_str().to_owned())
    };
    header("Natter-Id").is_some_and(|id| u64::from_str_radix(&id, 16).is_ok())
        && header("Natter-Time").is_some_and(|time| time.parse::<u64>().is_ok())
        && std::str::from_utf8(&message.payload).is_ok()
}

async fn by_client(rooms: usize, counter: &Arc<Counter>) -> Result<()> {
    for number in 0..rooms {
        let subject = Subjects::new(PREFIX).ephemeral(&room(number));
        let mut messages = counter.client.subscribe(subject).await?;
        let counter = counter.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                if is_readable(&message) {
                    counter.one();
                }
            }
        });
    }
    // The answer comes behind the subscriptions.
    let mut echo = counter.client.subscribe("receive.echo").await?;
    counter.client.publish("receive.echo", Bytes::new()).await?;
    timeout(LIMIT, echo.next()).await?.context("no echo").map(drop)
}

async fn by_bus(url: &str, rooms: usize, counter: &Arc<Counter>) -> Result<Nats> {
    let bus = shared::connect(url, PREFIX, Arc::new(Events(counter.clone()))).await?;
    let resident = resident()?;
    for number in 0..rooms {
        bus.subscribe_later(Channel::from(room(number).as_str()));
    }
    // Its barrier says that all before it are subscribed.
    bus.subscribe(Channel::from("last"), None).await?;
    said(resident, rooms)?;
    Ok(bus)
}

/// Bytes.
fn resident() -> Result<usize> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).context("no pages")?;
    Ok(pages.parse::<usize>()? * 4096)
}

/// Says what a room took.
fn said(before: usize, rooms: usize) -> Result<()> {
    println!("{}", resident()?.saturating_sub(before) / rooms);
    Ok(())
}

/// Hundredths of a second of this process so far.
fn cpu() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().context("no fields")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || {
        times
            .next()
            .context("no time")?
            .parse::<u64>()
            .context("no number")
    };
    Ok(next()? + next()?)
}

/// The receiving process: says what a room took, then what all messages took.
async fn receive(what: &str, url: &str, rooms: usize, progress: &str) -> Result<()> {
    let counter = Arc::new(Counter {
        count: AtomicU64::new(0),
        client: async_nats::connect(url).await?,
        progress: progress.to_owned(),
        all: Notify::new(),
    });
    let bus = if what == "bus" {
        Some(by_bus(url, rooms, &counter).await?)
    } else {
        let resident = resident()?;
        by_client(rooms, &counter).await?;
        said(resident, rooms)?;
        None
    };
    let before = cpu()?;
    let all = timeout(LIMIT, counter.all.notified()).await;
    all.with_context(|| format!("{} messages came", counter.count.load(Ordering::Relaxed)))?;
    println!("{}", cpu()? - before);
    counter.client.flush().await?;
    drop(bus);
    Ok(())
}

/// The number on a line of the receiver's output.
async fn number(receiver: &Process, line: usize) -> Result<u64> {
    let (_, number) = receiver
        .stdout()
        .wait(line, LIMIT, |line| line.parse().ok())
        .await?;
    Ok(number)
}

/// Bytes a room, and hundredths of a second.
async fn run(server: &NatsServer, publisher: &Client, what: &str, rooms: usize) -> Result<(u64, u64)> {
    // Of this run alone: what an earlier receiver said last would count as progress of this one.
    let inbox = publisher.new_inbox();
    let mut progress = publisher.subscribe(inbox.clone()).await?;
    let mut command = Command::new(current_exe()?);
    command.args([what, &server.url(), &rooms.to_string(), &inbox]);
    let receiver = Process::spawn("receiver", &mut command)?;
    let bytes = number(&receiver, 0).await?;
    let subjects: Vec<_> = (0..rooms)
        .map(|number| Subjects::new(PREFIX).ephemeral(&room(number)))
        .collect();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("Natter-Format", "1"),
        ("Natter-Id", "00000000000000ff"),
        ("Natter-Time", "1700000000000000000"),
    ] {
        headers.insert(name, value);
    }
    let payload = Bytes::from(vec![b'1'; 200]);
    let mut arrived = 0;
    for (sent, subject) in (0..MESSAGES).zip(subjects.iter().cycle()) {
        while sent - arrived >= UNDER_WAY {
            let said = timeout(LIMIT, progress.next()).await;
            let said = said.with_context(|| format!("{arrived} of {sent} messages arrived"))?;
            let said = said.context("no progress")?;
            arrived = arrived.max(std::str::from_utf8(&said.payload)?.parse()?);
        }
        publisher
            .publish_with_headers(subject.clone(), headers.clone(), payload.clone())
            .await?;
    }
    publisher.flush().await?;
    let cpu = number(&receiver, 1).await?;
    ensure!(receiver.wait_exit(LIMIT).await?.success(), "the receiver failed");
    Ok((bytes, cpu))
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}

async fn compare() -> Result<()> {
    let server = NatsServer::start().await?;
    let publisher = async_nats::connect(server.url()).await?;
    println!("| rooms | bytes a room, async-nats | bus | CPU a message, async-nats | bus |");
    println!("|---|---|---|---|---|");
    for rooms in ROOMS {
        let mut found = [const { (Vec::new(), Vec::new()) }; 2];
        for _ in 0..RUNS {
            for (what, (bytes, cpu)) in ["client", "bus"].into_iter().zip(&mut found) {
                let (of_room, of_all) = run(&server, &publisher, what, rooms).await?;
                bytes.push(of_room);
                // Hundredths of a second for all, nanoseconds for one.
                cpu.push(of_all * 10_000_000 / MESSAGES);
            }
        }
        let [(client_bytes, client_cpu), (bus_bytes, bus_cpu)] =
            found.map(|(bytes, cpu)| (median(bytes), median(cpu)));
        println!("| {rooms} | {client_bytes} | {bus_bytes} | {client_cpu} ns | {bus_cpu} ns |");
    }
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let given: Vec<_> = args().skip(1).collect();
    match given.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare().await,
        [what, url, rooms, progress] => receive(what, url, rooms.parse()?, progress).await,
        _ => bail!("started with arguments that only the program itself gives"),
    }
}
