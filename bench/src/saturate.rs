//! The most that server and client sustain. The rate rises in coarse steps until one is not sustained, then what is
//! between is halved until the answer is close enough. The result is the highest rate that was sustained, and every step.
//!
//! A rate is not sustained when messages were lost, when the client was the limit ([`crate::usage`]), when the server
//! had a backlog at the end of the schedule, or past the knee: a server that uses its whole core batches more and more,
//! which keeps up with the rate for some seconds while the latency is of another kind.

mod search;

use std::{fmt, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use serde::Serialize;

use self::search::Search;
use crate::{
    load::{self, Load, Measured},
    report, server,
    usage::QUIET_CORES,
};

/// A server that has more than this left to deliver when a step's schedule ends does not keep up.
const BACKLOG_SECONDS: f64 = 0.25;
/// Past the knee, p99 is so many times that of the highest rate that was sustained, and over so many milliseconds.
const KNEE_FACTOR: f64 = 3.0;
const KNEE_MILLISECONDS: f64 = 100.0;

#[derive(Debug, clap::Args)]
#[group(id = "saturate_args")]
pub struct Args {
    /// Messages a second of the first step, over all rooms together
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// By how much a coarse step raises the rate, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 50.0)]
    step: f64,
    /// How closely the rate is to be found, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 8.0)]
    fine: f64,
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
    /// The server had a backlog.
    Server,
    /// The server's latency was of another kind.
    Knee,
    /// The server cut connections or refused messages, or messages were lost.
    Faults,
}

#[derive(Clone, Debug, Serialize)]
struct Step {
    /// `None` for a rate that was sustained.
    limit: Option<Limit>,
    #[serde(flatten)]
    measured: Measured,
}

#[derive(Debug, Serialize)]
struct Saturation {
    /// Of the lowest rate that was not sustained.
    limit: Limit,
    sustained: Measured,
    /// In the order of their rates.
    steps: Vec<Step>,
}

impl Limit {
    /// `below` is the highest rate that was sustained.
    fn of(step: &Measured, below: Option<&Measured>) -> Option<Self> {
        if !step.is_correct() {
            Some(Self::Faults)
        } else if step.client.client_is_limit {
            Some(Self::Client)
        } else if step.drain_seconds > BACKLOG_SECONDS {
            Some(Self::Server)
        } else if below.is_some_and(|below| is_past_knee(step.latency.p99, below.latency.p99)) {
            Some(Self::Knee)
        } else {
            None
        }
    }
}

fn is_past_knee(p99: f64, below: f64) -> bool {
    p99 > KNEE_MILLISECONDS && p99 > KNEE_FACTOR * below
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client was the limit",
            Self::Server => "the server did not keep up",
            Self::Knee => "the latency was past its knee",
            Self::Faults => "connections or messages were lost",
        })
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.rate > 0.0 && args.step > 0.0 && args.fine > 0.0,
        "a rate and its steps are positive"
    );
    let json = args.json.clone();
    let saturation = Saturation::of(search(args).await?)?;
    let Saturation { limit, sustained, .. } = &saturation;
    println!("sustained {:.0} messages/s; above, {limit}", sustained.rate);
    sustained.table().print();
    sustained.warn();
    report::write(json.as_deref(), &saturation)
}

/// Every step, in the order of their rates.
async fn search(args: Args) -> anyhow::Result<Vec<Step>> {
    let duration = Duration::from_secs(args.duration.into());
    let mut search = Search::new(args.rate, 1.0 + args.step / 100.0, 1.0 + args.fine / 100.0);
    let mut load = Load::open(args.load.clone(), args.server.clone()).await?;
    let mut steps: Vec<Step> = Vec::new();
    while let Some(rate) = search.next() {
        let below = steps.iter().rev().find(|step| step.limit.is_none());
        let below = below.map(|step| step.measured.clone());
        let step = measure(&mut load, rate, duration, below.as_ref()).await?;
        search.tried(rate, step.limit.is_none());
        if step.limit == Some(Limit::Faults) {
            // What was lost stays lost: the next rate gets a server and members of its own.
            load.close();
            load = Load::open(args.load.clone(), args.server.clone()).await?;
        }
        steps.push(step);
        steps.sort_by(|a, b| a.measured.rate.total_cmp(&b.measured.rate));
    }
    Ok(steps)
}

/// Measures again, once, when a rate was not sustained beside other processes.
async fn measure(
    load: &mut Load,
    rate: f64,
    duration: Duration,
    below: Option<&Measured>,
) -> anyhow::Result<Step> {
    let mut measured = load.measure(rate, duration).await?;
    let mut limit = Limit::of(&measured, below);
    progress(&measured, limit);
    if measured.is_correct() && limit.is_some() && measured.others_cores > QUIET_CORES {
        measured = load.measure(rate, duration).await?;
        limit = Limit::of(&measured, below);
        progress(&measured, limit);
    }
    Ok(Step { limit, measured })
}

impl Saturation {
    fn of(steps: Vec<Step>) -> anyhow::Result<Self> {
        let beyond = steps
            .iter()
            .find_map(|step| Some((step.limit?, step.measured.clone())));
        let (limit, beyond) = beyond.context("no rate was too high")?;
        let sustained = steps.iter().rev().find(|step| step.limit.is_none());
        let sustained = sustained.with_context(|| {
            let faults = if beyond.is_correct() {
                String::new()
            } else {
                format!(": {}", beyond.faults())
            };
            format!("no rate was sustained: {limit} at {:.0}{faults}", beyond.rate)
        })?;
        Ok(Self {
            limit,
            sustained: sustained.measured.clone(),
            steps,
        })
    }
}

fn progress(step: &Measured, limit: Option<Limit>) {
    eprintln!(
        "  {:.0} deliveries/s, {:.0} per CPU-second, p99 {:.1} ms, client {:.0} % + {:.0} % waiting, others {:.2} cores{}",
        step.deliveries_per_second,
        step.deliveries_per_cpu_second,
        step.latency.p99,
        100.0 * step.client.client_share,
        100.0 * step.client.client_waiting_share,
        step.others_cores,
        limit.map_or_else(String::new, |limit| format!(": {limit}"))
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_of_another_kind_is_past_the_knee() {
        assert!(is_past_knee(326.0, 14.0));
        assert!(!is_past_knee(41.0, 9.0), "still short");
        assert!(!is_past_knee(150.0, 90.0), "as before");
    }
}
