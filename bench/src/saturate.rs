//! The most that server and client sustain: the rate rises step by step until one of them does not keep up. The result is
//! the last step before.

use std::{fmt, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::{
    load::{self, Load, Measured},
    report, server,
};

/// A server that has more than this left to deliver when a step's schedule ends does not keep up.
const BACKLOG_SECONDS: f64 = 0.25;

#[derive(Debug, clap::Args)]
#[group(id = "saturate_args")]
pub struct Args {
    /// Messages a second of the first step, over all rooms together
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// By how much the rate of a step is higher than that of the one before, in percent
    #[arg(long, default_value_t = 25.0)]
    step: f64,
    /// Time to measure at each step
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    duration: u32,
    #[command(flatten)]
    load: load::Args,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: server::Args,
}

/// Why a rate was not sustained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    Client,
    Server,
    /// The server cut connections or refused messages, or messages were lost.
    Faults,
}

#[derive(Debug, Serialize)]
struct Saturation {
    limit: Limit,
    sustained: Measured,
    steps: Vec<Measured>,
}

impl Limit {
    fn of(step: &Measured) -> Option<Self> {
        if !step.is_correct() {
            Some(Self::Faults)
        } else if step.client_is_limit {
            Some(Self::Client)
        } else if step.drain_seconds > BACKLOG_SECONDS {
            Some(Self::Server)
        } else {
            None
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client was the limit",
            Self::Server => "the server did not keep up",
            Self::Faults => "connections or messages were lost",
        })
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.rate > 0.0 && args.step > 0.0,
        "a rate and its step are positive"
    );
    let duration = Duration::from_secs(args.duration.into());
    let mut load = Load::open(args.load, args.server).await?;
    let mut steps: Vec<Measured> = Vec::new();
    let mut rate = args.rate;
    let (limit, beyond) = loop {
        let step = load.measure(rate, duration).await?;
        progress(&step);
        if let Some(limit) = Limit::of(&step) {
            break (limit, step);
        }
        steps.push(step);
        rate *= 1.0 + args.step / 100.0;
    };
    let sustained = steps.last().cloned();
    steps.push(beyond.clone());
    let sustained = sustained.with_context(|| {
        let faults = if beyond.is_correct() {
            String::new()
        } else {
            format!(": {}", beyond.faults())
        };
        format!("the first rate was too high: {limit}{faults}")
    })?;
    println!(
        "sustained {:.0} messages/s; at {:.0}, {limit}",
        sustained.rate, beyond.rate
    );
    sustained.table().print();
    sustained.warn();
    let saturation = Saturation {
        limit,
        sustained,
        steps,
    };
    report::write(args.json.as_deref(), &saturation)
}

fn progress(step: &Measured) {
    eprintln!(
        "  {:.0} deliveries/s, {:.0} per CPU-second, p99 {:.1} ms, client {:.0} % + {:.0} % waiting, others {:.2} cores",
        step.deliveries_per_second,
        step.deliveries_per_cpu_second,
        step.latency.p99,
        100.0 * step.client_share,
        100.0 * step.client_waiting_share,
        step.others_cores
    );
}
