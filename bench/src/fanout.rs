//! What deliveries cost at a fixed rate.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;

use crate::{
    load::{self, Load},
    report, server,
};

#[derive(Debug, clap::Args)]
#[group(id = "fanout_args")]
pub struct Args {
    /// Messages a second, over all rooms together
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Time to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u32,
    #[command(flatten)]
    load: load::Args,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: server::Args,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.rate > 0.0, "a rate is positive");
    let mut load = Load::open(args.load, args.server).await?;
    let measured = load
        .measure(args.rate, Duration::from_secs(args.duration.into()))
        .await?;
    measured.table().print();
    measured.warn();
    report::write(args.json.as_deref(), &measured)?;
    ensure!(measured.is_correct(), "{}", measured.faults());
    Ok(())
}
