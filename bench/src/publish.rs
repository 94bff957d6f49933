//! How long a publication takes until it is stored, and how many a second are: through the doors of a gateway, and
//! without one.

use std::{future::Future, path::PathBuf, pin::Pin, rc::Rc, time::Duration};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    caller::Caller,
    durable::{self, World},
    pace::{self, Timed, Until},
    report::{self, grouped},
    run::Run,
    stamp::{MIN_SIZE, Stamp},
    usage::{Accounts, ClientShare},
};

/// Connections that share what is in flight by the socket; each may wait for 256 replies.
const SOCKETS: usize = 8;

#[derive(Debug, clap::Args)]
#[group(id = "publish_args")]
pub struct Args {
    /// Ways to publish, each measured with each number in flight
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Door::Socket, Door::Http, Door::Nats])]
    by: Vec<Door>,
    /// Publications that wait for their answer at once
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 64, 1_000])]
    in_flight: Vec<usize>,
    /// Also offer so many a second, by a schedule that does not wait
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    #[arg(long, default_value_t = 1_000)]
    rooms: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Time of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    duration: u32,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    durable: durable::Args,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The publish command, by up to 8 connections
    Socket,
    /// The server API, a connection for each publication in flight
    Http,
    /// Straight to the stream, by the NATS client that the gateway uses
    Nats,
}

#[derive(Debug, Serialize)]
struct Row {
    door: Door,
    /// How many waited at once; `None` when they came by a schedule.
    in_flight: Option<usize>,
    stored: Timed,
    gateway_cores: f64,
    #[serde(flatten)]
    client: ClientShare,
    /// Of everything else on the machine, NATS among it.
    others_cores: f64,
}

type Answer = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A way to publish: a message into a room, by one of those in flight.
type Publish = Rc<dyn Fn(usize, usize) -> Answer>;

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.size >= MIN_SIZE, "a message has at least {MIN_SIZE} bytes");
    ensure!(
        args.rooms > 0 && args.in_flight.iter().all(|count| *count > 0),
        "there is nothing to measure without rooms and publications"
    );
    let world = World::start(&args.durable, 1, durable::HISTORY, &[]).await?;
    println!(
        "{}, {} rooms, {} bytes",
        args.durable.label(),
        args.rooms,
        args.size
    );
    let mut rows = Vec::new();
    for &door in &args.by {
        for &in_flight in &args.in_flight {
            rows.push(measure(&args, &world, door, Some(in_flight)).await?);
        }
        if args.rate.is_some() {
            rows.push(measure(&args, &world, door, None).await?);
        }
    }
    report::write(args.json.as_deref(), &rows)?;
    for row in &rows {
        row.stored.check("publications")?;
    }
    Ok(())
}

async fn measure(args: &Args, world: &World, door: Door, in_flight: Option<usize>) -> anyhow::Result<Row> {
    let gateway = world.gateways.first().context("there is no gateway")?;
    let publish = open(args, world, gateway, door, in_flight.unwrap_or(64)).await?;
    let duration = Duration::from_secs(args.duration.into());
    // Connections, code and the first messages of rooms are no part of it.
    let warm = publish.clone();
    let warmup = pace::in_flight(8, Until::Calls(args.rooms), move |slot, number| {
        warm(slot, number)
    });
    warmup.await?.check("publications")?;

    let before = Accounts::now(&gateway.server)?;
    let stored = if let Some(count) = in_flight {
        pace::in_flight(count, Until::Elapsed(duration), move |slot, number| {
            publish(slot, number)
        })
        .await?
    } else {
        let rate = args.rate.context("there is no rate")?;
        pace::at_rate(rate, duration, move |number| publish(number, number)).await?
    };
    let used = Accounts::now(&gateway.server)?.since(&before);
    let row = Row {
        door,
        in_flight,
        gateway_cores: used.server.used().as_secs_f64() / used.seconds,
        client: used.client,
        others_cores: used.others_cores,
        stored,
    };
    row.print();
    row.client.warn();
    Ok(row)
}

impl Row {
    fn print(&self) {
        let load = match self.in_flight {
            Some(count) => format!("{count} in flight"),
            None => format!("by schedule (late p99 {:.2} ms)", self.stored.late.p99),
        };
        println!(
            "{:6} {load:16} {:>7}/s, {}; gateway {:.2}, client {:.2}, others {:.2} cores",
            format!("{:?}", self.door).to_lowercase(),
            grouped(self.stored.per_second),
            self.stored.latency_text(),
            self.gateway_cores,
            self.client.client_share,
            self.others_cores
        );
    }
}

async fn open(
    args: &Args,
    world: &World,
    gateway: &Rc<Run>,
    door: Door,
    in_flight: usize,
) -> anyhow::Result<Publish> {
    let (rooms, size, gateway) = (args.rooms, args.size, gateway.clone());
    let message = move |number: usize| {
        let number = u32::try_from(number).unwrap_or_default();
        Stamp { due: 0, number }.message(size)
    };
    let connections = match door {
        Door::Socket => in_flight.min(SOCKETS),
        Door::Http => in_flight.max(8),
        Door::Nats => 0,
    };
    let mut callers = Vec::new();
    for number in 0..connections {
        callers.push(match door {
            Door::Http => Caller::by_http(&gateway, number).await?,
            Door::Socket | Door::Nats => Caller::by_socket(&gateway, number, |_| {}).await?,
        });
    }
    Ok(match door {
        Door::Socket => Rc::new(move |slot, number| {
            let caller = &callers[slot % callers.len()];
            Box::pin(caller.publish(&gateway, &World::room(number % rooms), &message(number)))
        }),
        Door::Http => Rc::new(move |slot, number| {
            let caller = &callers[slot % callers.len()];
            Box::pin(caller.post(&gateway, &World::room(number % rooms), &message(number)))
        }),
        Door::Nats => {
            let client = async_nats::connect(world.nats_url()).await?;
            Rc::new(move |_, number| {
                let (client, message) = (client.clone(), message(number));
                Box::pin(async move {
                    let answer = client.request(World::subject(number % rooms), message.into());
                    let answer = answer.await?;
                    ensure!(
                        answer.payload.starts_with(br#"{"stream":"#),
                        "refused: {}",
                        String::from_utf8_lossy(&answer.payload)
                    );
                    Ok(())
                })
            })
        }
    })
}
