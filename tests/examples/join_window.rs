//! How much is lost right after a join, without the join barrier and with it, and what a join takes.
//!
//! One joins fresh rooms at one NATS server; as soon as it calls itself ready, another begins to publish at another
//! server, a message every 0.1 ms. The window is the time from "ready" to the publication of the first message that
//! arrived. Servers, clients and the slow link run on this machine. Prints the table of `docs/guarantees.md`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use natter_gateway::bus::{Bus, BusEvents, Nats, Overloaded, Subjects};
use natter_gateway::channel::Channel;
use natter_gateway::history::Position;
use natter_gateway::publication::Publication;
use natter_tests::nats::{DistantPair, NatsCluster, NatsServer};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

#[path = "shared/bus.rs"]
mod shared;

const PREFIX: &str = "window";
/// Time between two publications.
const PACE: Duration = Duration::from_micros(100);
/// By then something must have arrived.
const LIMIT: Duration = Duration::from_secs(5);

/// When a joiner calls itself ready.
#[derive(Clone, Copy)]
enum Ready {
    /// The client has written the SUB to its socket.
    Flushed,
    /// The own server has answered something sent after the SUB, as a PONG does.
    OwnServer,
    /// The gateway's join barrier was passed.
    Barrier,
}

impl Ready {
    const ALL: [Self; 3] = [Self::Flushed, Self::OwnServer, Self::Barrier];

    fn text(self) -> &'static str {
        match self {
            Self::Flushed => "flush of the client",
            Self::OwnServer => "echo of the own server",
            Self::Barrier => "join barrier",
        }
    }
}

/// What one join showed.
struct Joined {
    took: Duration,
    lost: usize,
    window: Duration,
}

/// Attempt and number of a message.
type Mark = (usize, usize);

/// The messages that arrived.
struct Arrivals(mpsc::UnboundedSender<Mark>);

impl BusEvents for Arrivals {
    fn publication(&self, _channel: &str, publication: Publication) -> Result<(), Overloaded> {
        if let Some(mark) = mark(&publication.data) {
            // A joiner that is gone counts no more.
            let _ = self.0.send(mark);
        }
        Ok(())
    }

    fn control(&self, _message: Bytes) {}

    fn presence(&self, _channel: &str, _from: Uuid, _message: &[u8]) {}

    fn removed(&self, _: &str) {}

    fn lost(&self, _channel: &str, _position: Position) {}
}

fn mark(data: &[u8]) -> Option<Mark> {
    let (attempt, number) = std::str::from_utf8(data).ok()?.split_once(' ')?;
    Some((attempt.parse().ok()?, number.parse().ok()?))
}

async fn bus(url: &str) -> Result<(Nats, mpsc::UnboundedReceiver<Mark>)> {
    let (sender, arrivals) = mpsc::unbounded_channel();
    let bus = shared::connect(url, PREFIX, Arc::new(Arrivals(sender))).await?;
    Ok((bus, arrivals))
}

/// Who joins: the gateway's bus, or a plain client.
struct Joiner {
    ready: Ready,
    client: Client,
    echo: Subscriber,
    echo_subject: String,
    bus: Nats,
    arrivals: mpsc::UnboundedReceiver<Mark>,
}

impl Joiner {
    async fn new(url: &str, ready: Ready) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        let echo_subject = client.new_inbox();
        let echo = client.subscribe(echo_subject.clone()).await?;
        let (bus, arrivals) = bus(url).await?;
        Ok(Self {
            ready,
            client,
            echo,
            echo_subject,
            bus,
            arrivals,
        })
    }

    /// Resolves when it is ready; the subscriber is a plain client's.
    async fn join(&mut self, room: &str) -> Result<Option<Subscriber>> {
        if matches!(self.ready, Ready::Barrier) {
            self.bus.subscribe(Channel::from(room), None).await?;
            return Ok(None);
        }
        let subject = Subjects::new(PREFIX).ephemeral(room);
        let subscriber = self.client.subscribe(subject).await?;
        if matches!(self.ready, Ready::Flushed) {
            self.client.flush().await?;
        } else {
            self.client
                .publish(self.echo_subject.clone(), Bytes::new())
                .await?;
            self.echo.next().await.context("no echo")?;
        }
        Ok(Some(subscriber))
    }

    /// The first message of this attempt, if it is there by now.
    fn arrived(&mut self, attempt: usize, subscriber: Option<&mut Subscriber>) -> Option<usize> {
        let (of, number) = match subscriber {
            Some(subscriber) => mark(&subscriber.next().now_or_never()??.payload)?,
            None => self.arrivals.try_recv().ok()?,
        };
        (of == attempt).then_some(number)
    }

    async fn attempt(&mut self, publisher: &Nats, attempt: usize) -> Result<Joined> {
        let room = &format!("{attempt}-{}", Uuid::new_v4());
        let began = Instant::now();
        let mut subscriber = self.join(room).await?;
        let ready = Instant::now();
        let mut sent = Vec::new();
        while ready.elapsed() < LIMIT {
            sent.push(Instant::now());
            let text = format!("{attempt} {}", sent.len() - 1);
            publisher.publish(room, &Publication::new(text.into_bytes()))?;
            while sent.last().is_some_and(|sent| sent.elapsed() < PACE) {
                tokio::task::yield_now().await;
            }
            if let Some(lost) = self.arrived(attempt, subscriber.as_mut()) {
                self.bus.unsubscribe(&Channel::from(room.as_str()));
                let window = if lost == 0 {
                    Duration::ZERO
                } else {
                    sent[lost].duration_since(ready)
                };
                let took = ready.duration_since(began);
                return Ok(Joined { took, lost, window });
            }
        }
        bail!("nothing arrived within {LIMIT:?}")
    }
}

async fn measure(what: &str, near: &str, far: &str, tries: usize) -> Result<()> {
    let (publisher, _own) = bus(far).await?;
    for ready in Ready::ALL {
        let mut joiner = Joiner::new(near, ready).await?;
        let mut all = Vec::new();
        for number in 0..tries {
            all.push(joiner.attempt(&publisher, number).await?);
        }
        let losing = all.iter().filter(|joined| joined.lost > 0).count();
        let took = sorted(&all, |joined| joined.took);
        let window = sorted(&all, |joined| joined.window);
        println!(
            "| {what} | {} | {losing} of {tries} | {} | {} | {} | {} |",
            ready.text(),
            show(window[tries / 2]),
            show(window[tries - 1]),
            show(took[tries / 2]),
            show(took[tries * 99 / 100]),
        );
    }
    Ok(())
}

fn sorted(all: &[Joined], pick: impl Fn(&Joined) -> Duration) -> Vec<Duration> {
    let mut picked: Vec<_> = all.iter().map(pick).collect();
    picked.sort_unstable();
    picked
}

fn show(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[tokio::main]
async fn main() -> Result<()> {
    println!(
        "| NATS | ready after | joins that lost | window, median | window, longest | join, median | join, p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    let server = NatsServer::start().await?;
    measure("one server", &server.url(), &server.url(), 300).await?;
    let cluster = NatsCluster::start(3).await?;
    let (near, far) = (cluster.node(0)?.url(), cluster.node(1)?.url());
    measure("three nodes, one machine", &near, &far, 300).await?;
    let pair = DistantPair::start().await?;
    for milliseconds in [5, 20] {
        pair.link.delay(Duration::from_millis(milliseconds));
        let what = format!("two nodes, {milliseconds} ms apart");
        measure(&what, &pair.near.url(), &pair.far.url(), 100).await?;
    }
    Ok(())
}
