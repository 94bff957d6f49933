//! One large room is flooded: what that does to the members of other rooms on the same server.
//!
//! The bystanders ([`bystanders`]) are measured without the flood, during it, and after it. The flood is a load like that of
//! `fanout`; its own client may be the limit, which is said and does not spoil the figures of the bystanders.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use serde::Serialize;

use crate::{
    bystanders::{self, Bystanders, Phases},
    load::{self, Load, Measured},
    publisher::By,
    report,
    run::Run,
    server, usage,
};

/// Of the flood, before it is measured: code that never ran, memory that was never touched.
const REHEARSAL: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[group(id = "flood_args")]
pub struct Args {
    /// Members of the room that is flooded; each takes a descriptor here and at the server
    #[arg(long, default_value_t = 10_000)]
    members: usize,
    /// Messages a second into it: near saturation when times the members it is what `saturate` finds
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Bytes of a message of the flood
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Time of the flood, and of each measurement without it
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u32,
    /// Fail when p99 of the bystanders during the flood is longer
    #[arg(long, value_name = "MILLISECONDS")]
    max_p99: Option<f64>,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    bystanders: bystanders::Args,
    #[command(flatten)]
    server: server::Args,
}

#[derive(Debug, Serialize)]
struct Flood {
    members: usize,
    flood: Measured,
    /// Cores that everything but the server, this client and the bystanders used during the flood.
    others_cores: f64,
    others: Phases,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.rate > 0.0 && args.duration > 0,
        "rate and duration are positive"
    );
    let (json, max_p99) = (args.json.clone(), args.max_p99);
    let flood = Flood::measure(args).await?;
    println!("the room that is flooded, {} members:", flood.members);
    flood.flood.table().print();
    println!("the other rooms:");
    let mut table = report::Table::default();
    flood.others.rows(&mut table);
    table.print();
    usage::warn(flood.flood.client, flood.others_cores);
    flood.others.warn();
    report::write(json.as_deref(), &flood)?;
    flood.check(max_p99)
}

impl Flood {
    async fn measure(args: Args) -> anyhow::Result<Self> {
        let duration = Duration::from_secs(args.duration.into());
        let run = Run::start(args.server).await?;
        let room = load::Args {
            members: args.members,
            rooms: 1,
            size: args.size,
            by: By::Socket,
            publishers: 1,
            warmup: 0,
        };
        let mut room = Load::on(&run, room).await?;
        let mut others = Bystanders::start(&run.server, &args.bystanders).await?;
        room.measure(args.rate, REHEARSAL).await?;
        eprintln!("without the flood, for {duration:?}");
        let before = others.measure(duration).await?;
        others.begin()?;
        eprintln!("flooding");
        let flood = room.measure(args.rate, duration).await?;
        let during = others.end().await?;
        eprintln!("without the flood again, for {duration:?}");
        let after = others.measure(duration).await?;
        let others = Phases {
            before,
            during,
            after,
        };
        Ok(Self {
            members: args.members,
            others_cores: others.apart_from_bystanders(flood.others_cores),
            flood,
            others,
        })
    }

    fn check(&self, max_p99: Option<f64>) -> anyhow::Result<()> {
        ensure!(
            self.flood.is_correct(),
            "in the flooded room: {}",
            self.flood.faults()
        );
        ensure!(self.others.is_correct(), "the other rooms had faults");
        let p99 = self.others.during.latency.p99;
        if let Some(bound) = max_p99 {
            ensure!(
                p99 <= bound,
                "p99 of the other rooms was {p99:.1} ms, over {bound} ms"
            );
        }
        Ok(())
    }
}
