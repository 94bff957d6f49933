//! One durable room with members of every transport and encoding on two gateways, who drop their connections while it is
//! spoken in. What members say whose connections are streams goes to the gateway that has not got their stream.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use natter_tests::proxy::Proxy;
use natter_tests::wire::{Encoding, Transport, Wire};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{LIMIT, PREFIX, builder, is_temporary, wait_bus, wait_names};
use crate::users;

const ROOM: &str = "kept:mixed";
const ROOMS: &str = "rooms: {namespaces: [{name: kept, subscribe: anyone, publish: anyone, history: {size: 5000, ttl: 1h, read: anyone, force_recovery: true}}]}\n";

/// Whoever is slow on a busy machine still gets everything that it missed.
const RECOVERY: (&str, &str) = ("NATTER_CLIENT_RECOVERY_LIMIT", "2000");

const MESSAGES: usize = 2_000;
const WRITERS: usize = 4;
/// Messages that a writer has under way at once.
const TOGETHER: usize = 25;
/// How far the writers may be ahead of the members on average: the room is spoken in while members come and go.
const AHEAD: usize = 300;
/// How often a member asks again where a busy gateway did not answer in time; each time takes some seconds.
const TRIES: u32 = 5;
/// Messages that a member lets pass before it comes back.
const MISSED: usize = 40;

const MEMBERS: [(usize, Transport, Encoding); 5] = [
    (100, Transport::WebSocket, Encoding::Json),
    (100, Transport::WebSocket, Encoding::Protobuf),
    (50, Transport::Sse, Encoding::Json),
    (25, Transport::HttpStream, Encoding::Json),
    (25, Transport::HttpStream, Encoding::Protobuf),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_has_the_same_in_the_end() -> Result<()> {
    let nats = users::server().jetstream().start().await?;
    let (a, b) = tokio::try_join!(
        builder("a", &nats.url(), ROOMS)
            .env(RECOVERY.0, RECOVERY.1)
            .start(),
        builder("b", &nats.url(), ROOMS)
            .env(RECOVERY.0, RECOVERY.1)
            .start()
    )?;
    tokio::try_join!(wait_bus(&a, "up"), wait_bus(&b, "up"))?;
    for gateway in [&a, &b] {
        wait_names(gateway, &["a", "b"], LIMIT).await?;
    }
    let gateways = [a.public(), b.public()];
    let room = Room::default();

    let kinds = MEMBERS
        .iter()
        .flat_map(|&(count, transport, encoding)| std::iter::repeat_n((transport, encoding), count));
    let brought = brought(&nats.url()).await?;
    let mut balancers = Vec::new();
    let mut members = JoinSet::new();
    for (index, (transport, encoding)) in kinds.enumerate() {
        let own = gateways[index % gateways.len()];
        let gateway = if transport == Transport::WebSocket {
            own
        } else {
            // Connections go in turn to the one and the other: the stream, and then what is said to it.
            let other = gateways[(index + 1) % gateways.len()];
            let balancer = Proxy::to_ports(&[own.port(), other.port()]).await?;
            balancers.push(balancer);
            balancers[balancers.len() - 1].address()
        };
        let member = Member {
            gateway,
            transport,
            encoding,
            heard: Vec::new(),
            position: json!({}),
            recovered: 0,
        };
        // Two drops each, spread over the whole conversation.
        let first = 50 + index * 37 % 900;
        members.spawn(member.stay([first, first + 900, MESSAGES], room.clone()));
    }
    let everybody = members.len();
    let mut joined = room.joined.subscribe();
    tokio::select! {
        joined = joined.wait_for(|count| *count == everybody) => drop(joined?),
        Some(member) = members.join_next() => bail!("somebody has left: {:?}", member?.err()),
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(
            gateways[writer % gateways.len()],
            writer,
            everybody,
            room.clone(),
        ));
    }

    let members = timeout(6 * LIMIT, stayed(members))
        .await
        .context("not everybody heard everything")??;
    for written in writers.join_all().await {
        written?;
    }
    let brought = brought.load(Ordering::Relaxed);
    ensure!(
        brought >= 2 * balancers.len(),
        "{brought} commands went from one gateway to the other"
    );
    judge(&members)
}

/// All members when they have left, or why the first of them did not stay.
async fn stayed(mut members: JoinSet<Result<Member>>) -> Result<Vec<Member>> {
    let mut stayed = Vec::with_capacity(members.len());
    while let Some(member) = members.join_next().await {
        stayed.push(member??);
    }
    Ok(stayed)
}

/// Counts what is said to streams at the other gateway.
async fn brought(nats: &str) -> Result<Arc<AtomicUsize>> {
    let client = async_nats::connect(nats).await?;
    let mut bus = client.subscribe(format!("{PREFIX}.ctl.node.*")).await?;
    client.flush().await?;
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    tokio::spawn(async move {
        while let Some(message) = bus.next().await {
            let text = String::from_utf8_lossy(&message.payload);
            let is_said = usize::from(text.contains("\"emulate\":"));
            counted.fetch_add(is_said, Ordering::Relaxed);
        }
    });
    Ok(count)
}

fn judge(members: &[Member]) -> Result<()> {
    let first = &members[0].heard;
    ensure!(
        first.is_sorted_by_key(|(offset, _)| *offset),
        "offsets do not increase"
    );
    let mut numbers: Vec<_> = first.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    ensure!(
        numbers.into_iter().eq(0..MESSAGES as u64),
        "a message is missing or there twice"
    );
    for member in members {
        let kind = (member.transport, member.encoding);
        ensure!(
            member.heard == *first,
            "{kind:?} has other messages or another order"
        );
        ensure!(
            member.recovered >= MISSED as u64,
            "{kind:?} recovered {} messages",
            member.recovered
        );
    }
    Ok(())
}

/// What members and writers know of each other.
#[derive(Clone)]
struct Room {
    joined: watch::Sender<usize>,
    said: watch::Sender<usize>,
    /// Messages that have arrived, of all members together.
    heard: watch::Sender<usize>,
}

impl Default for Room {
    fn default() -> Self {
        let new = || watch::Sender::new(0);
        Self {
            joined: new(),
            said: new(),
            heard: new(),
        }
    }
}

struct Member {
    gateway: SocketAddr,
    transport: Transport,
    encoding: Encoding,
    /// Offset and number of each message.
    heard: Vec<(u64, u64)>,
    /// Epoch and offset, as a subscribe command has them.
    position: Value,
    /// Messages that came by recovery.
    recovered: u64,
}

impl Member {
    /// Hears so many messages, drops the connection without a word and comes back later, until the last number is reached.
    async fn stay(mut self, until: [usize; 3], room: Room) -> Result<Self> {
        for (round, count) in until.into_iter().enumerate() {
            let mut wire = self.join(round > 0, &room).await?;
            while self.heard.len() < count {
                let value = wire.recv().await?.context("the connection ended")?;
                ensure!(value["push"]["pub"].is_object(), "{value}");
                self.take(&value["push"]["pub"], &room)?;
            }
            drop(wire);
            let passed = (self.heard.len() + MISSED).min(MESSAGES);
            room.said.subscribe().wait_for(|said| *said >= passed).await?;
        }
        Ok(self)
    }

    async fn join(&mut self, is_back: bool, room: &Room) -> Result<Wire> {
        let mut tries = 1;
        let (wire, reply) = loop {
            match self.ask(is_back).await {
                // As an SDK does, whose request a busy gateway did not take in time.
                Err(_) if tries < TRIES => tries += 1,
                joined => break joined?,
            }
        };
        let joined = &reply["subscribe"];
        if is_back {
            ensure!(joined["recovered"] == true, "{reply}");
            for publication in joined["publications"].as_array().into_iter().flatten() {
                self.recovered += 1;
                self.take(publication, room)?;
            }
        } else {
            self.position =
                json!({ "epoch": joined["epoch"], "offset": joined["offset"].as_u64().unwrap_or(0) });
            room.joined.send_modify(|count| *count += 1);
        }
        Ok(wire)
    }

    /// Connects and asks for the room.
    async fn ask(&self, is_back: bool) -> Result<(Wire, Value)> {
        let (mut wire, _) = Wire::connect(self.gateway, self.transport, self.encoding, json!({})).await?;
        let mut subscribe = self.position.clone();
        subscribe["channel"] = ROOM.into();
        subscribe["recover"] = is_back.into();
        let mut reply = wire.request(json!({ "subscribe": subscribe })).await?;
        for _ in 0..TRIES {
            if !is_temporary(&reply) {
                break;
            }
            reply = wire.request(json!({ "subscribe": subscribe })).await?;
        }
        Ok((wire, reply))
    }

    fn take(&mut self, publication: &Value, room: &Room) -> Result<()> {
        let offset = publication["offset"].as_u64().context("no offset")?;
        let number = publication["data"]["number"].as_u64().context("no number")?;
        self.heard.push((offset, number));
        self.position["offset"] = offset.into();
        if self.heard.len().is_multiple_of(TOGETHER) {
            room.heard.send_modify(|count| *count += TOGETHER); // seldom: every writer looks at it
        }
        Ok(())
    }
}

/// Says every fourth number.
async fn write(gateway: SocketAddr, writer: usize, members: usize, room: Room) -> Result<()> {
    let (mut wire, _) = Wire::connect(gateway, Transport::WebSocket, Encoding::Json, json!({})).await?;
    let numbers: Vec<_> = (writer..MESSAGES).step_by(WRITERS).collect();
    for together in numbers.chunks(TOGETHER) {
        let said = *room.said.borrow();
        room.heard
            .subscribe()
            .wait_for(|heard| heard + members * AHEAD >= members * said)
            .await?;
        say(&mut wire, together.to_vec()).await?;
        room.said.send_modify(|count| *count += together.len());
    }
    Ok(())
}

/// Publishes numbers at once, and again those of which a busy gateway does not know whether they were stored: they have keys.
async fn say(wire: &mut Wire, mut numbers: Vec<usize>) -> Result<()> {
    for _ in 0..TRIES {
        let mut asked = HashMap::new();
        let mut commands = Vec::new();
        for number in numbers.drain(..) {
            let id = wire.next_id();
            asked.insert(u64::from(id), number);
            let key = number.to_string();
            commands.push(json!({ "id": id,
                "publish": { "channel": ROOM, "data": { "number": number }, "idempotency_key": key } }));
        }
        wire.send(&commands).await?;
        for _ in &commands {
            let reply = wire.recv().await?.context("the connection ended")?;
            let number = reply["id"].as_u64().and_then(|id| asked.remove(&id));
            let number = number.with_context(|| format!("{reply} came"))?;
            if is_temporary(&reply) {
                numbers.push(number);
            } else {
                ensure!(reply["publish"].is_object(), "{reply}");
            }
        }
        if numbers.is_empty() {
            return Ok(());
        }
    }
    bail!("{numbers:?} are not stored")
}
