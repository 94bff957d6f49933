//! How costs grow with the work, along three axes: connections, rooms, bytes of a message. All that is not the axis stays,
//! among it the deliveries a second, so each step's figures differ by the axis alone.
//!
//! | axis | steps | what stays |
//! |---|---|---|
//! | connections | 100 to 18,000 | 10 rooms, 200 bytes |
//! | rooms | 1 to 10,000 | as many connections as the most rooms, 200 bytes; fewer members in each, so more publications for the same deliveries |
//! | size | 100 bytes to 16 KiB | 1,000 connections in 10 rooms |
//!
//! Each step has a gateway of its own; with `--url` all have the same server, whose memory then also is that of earlier
//! steps. A process has a limit of open files, 20,000 on many machines: it bounds the connections both here
//! and at the server.

pub mod slope;

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::ValueEnum;
use serde::Serialize;

use self::slope::Slope;
use crate::{
    load::{self, Load, Measured},
    publisher::By,
    quiet,
    report::{self, grouped},
    run::Run,
    server::{self, Label},
};

/// Where they are no axis.
const ROOMS: usize = 10;
const SIZE: usize = 200;
const CONNECTIONS: usize = 1_000;

#[derive(Debug, clap::Args)]
#[group(id = "scale_args")]
pub struct Args {
    /// What grows
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Axis::Connections, Axis::Rooms, Axis::Size])]
    axis: Vec<Axis>,
    /// Steps of the axis of connections, multiples of 10
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [100, 1_000, 10_000, 18_000])]
    connections: Vec<usize>,
    /// Steps of the axis of rooms, of which the largest is a multiple of all
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 10_000])]
    rooms: Vec<usize>,
    /// Steps of the axis of sizes
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = [100, 400, 1_600, 4_096, 16_384])]
    sizes: Vec<usize>,
    /// Deliveries a second at every step
    #[arg(long, value_name = "PER_SECOND", default_value_t = 20_000.0)]
    deliveries: f64,
    /// Time to measure at each step
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u32,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    server: server::Args,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    Connections,
    Rooms,
    Size,
}

#[derive(Debug, Serialize)]
struct Scale {
    #[serde(flatten)]
    label: Label,
    deliveries_per_second: f64,
    /// Cores that everything else on the machine used, at the step at which that was most.
    others_cores: f64,
    axes: Vec<Grown>,
}

/// One axis.
#[derive(Debug, Serialize)]
struct Grown {
    axis: Axis,
    steps: Vec<Step>,
    /// Of [`Step::resident`], [`Measured::cpu_seconds_per_million`] and p99 in milliseconds, over [`Step::work`]; `None` with one
    /// step.
    resident: Option<Slope>,
    cpu_seconds_per_million: Option<Slope>,
    p99: Option<Slope>,
}

#[derive(Debug, Serialize)]
struct Step {
    /// Connections, rooms or bytes, as the axis says.
    work: f64,
    connections: usize,
    rooms: usize,
    /// Bytes of a message.
    size: usize,
    /// By how much the server's resident memory grew with the connections, in bytes.
    resident: f64,
    /// The same after the deliveries.
    resident_after: f64,
    measured: Measured,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.deliveries > 0.0 && args.duration > 0,
        "deliveries and duration are positive"
    );
    let mut axes = Vec::new();
    for axis in &args.axis {
        let mut steps = Vec::new();
        for shape in axis.shapes(&args)? {
            let step = Step::measure(*axis, shape, &args).await?;
            ensure!(
                step.measured.is_correct(),
                "{} {axis:?}: {}",
                step.work,
                step.measured.faults()
            );
            steps.push(step);
        }
        let grown = Grown::of(*axis, steps);
        grown.print();
        axes.push(grown);
    }
    let first = axes.iter().flat_map(|axis| &axis.steps).next();
    let Some(label) = first.map(|step| step.measured.label.clone()) else {
        anyhow::bail!("there are no steps");
    };
    let others = axes.iter().flat_map(|axis| &axis.steps);
    let others = others.map(|step| step.measured.others_cores);
    let scale = Scale {
        label,
        deliveries_per_second: args.deliveries,
        others_cores: others.fold(0.0, f64::max),
        axes,
    };
    report::write(args.json.as_deref(), &scale)
}

impl Axis {
    /// Connections, rooms and bytes of each step, in growing order.
    fn shapes(self, args: &Args) -> anyhow::Result<Vec<(usize, usize, usize)>> {
        let sorted = |steps: &[usize]| {
            let mut steps = steps.to_vec();
            steps.sort_unstable();
            steps
        };
        let most_rooms = args.rooms.iter().copied().max().unwrap_or_default();
        let shapes: Vec<_> = match self {
            Self::Connections => sorted(&args.connections)
                .into_iter()
                .map(|connections| (connections, ROOMS, SIZE))
                .collect(),
            Self::Rooms => sorted(&args.rooms)
                .into_iter()
                .map(|rooms| (most_rooms, rooms, SIZE))
                .collect(),
            Self::Size => sorted(&args.sizes)
                .into_iter()
                .map(|size| (CONNECTIONS, ROOMS, size))
                .collect(),
        };
        for (connections, rooms, _) in &shapes {
            ensure!(
                *rooms > 0 && *connections > 0 && connections.is_multiple_of(*rooms),
                "{connections} connections cannot be spread evenly over {rooms} rooms"
            );
        }
        Ok(shapes)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
    fn work(self, (connections, rooms, size): (usize, usize, usize)) -> f64 {
        (match self {
            Self::Connections => connections,
            Self::Rooms => rooms,
            Self::Size => size,
        }) as f64
    }

    /// One more of what grows.
    fn unit(self) -> &'static str {
        match self {
            Self::Connections => "connection",
            Self::Rooms => "room",
            Self::Size => "byte",
        }
    }
}

impl Step {
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    async fn measure(axis: Axis, shape: (usize, usize, usize), args: &Args) -> anyhow::Result<Self> {
        let (connections, rooms, size) = shape;
        let run = Run::start(args.server.clone()).await?;
        let server = &run.server;
        quiet::wait(server).await?;
        let before = server.memory()?.resident as f64;
        let members = connections / rooms;
        let load = load::Args {
            members,
            rooms,
            size,
            by: By::Socket,
            publishers: 4,
            warmup: 2,
        };
        let mut load = Load::on(&run, load).await?;
        quiet::wait(server).await?;
        let resident = server.memory()?.resident as f64 - before;
        let duration = Duration::from_secs(args.duration.into());
        let measured = load.measure(args.deliveries / members as f64, duration).await?;
        measured.warn();
        let resident_after = server.memory()?.resident as f64 - before;
        load.close();
        Ok(Self {
            work: axis.work(shape),
            connections,
            rooms,
            size,
            resident,
            resident_after,
            measured,
        })
    }

    fn cpu(&self) -> f64 {
        self.measured.cpu_seconds_per_million
    }

    fn p99(&self) -> f64 {
        self.measured.latency.p99
    }
}

impl Grown {
    fn of(axis: Axis, steps: Vec<Step>) -> Self {
        let slope = |cost: fn(&Step) -> f64| {
            let points: Vec<_> = steps.iter().map(|step| (step.work, cost(step))).collect();
            Slope::of(&points)
        };
        Self {
            axis,
            resident: slope(|step| step.resident),
            cpu_seconds_per_million: slope(Step::cpu),
            p99: slope(Step::p99),
            steps,
        }
    }

    fn print(&self) {
        let unit = self.axis.unit();
        println!("{unit:>10}s  CPU-s per million  resident KiB  p50 ms  p99 ms");
        for step in &self.steps {
            println!(
                "{:>11}  {:>17.2}  {:>12}  {:>6.1}  {:>6.1}",
                grouped(step.work),
                step.cpu(),
                grouped((step.resident / 1024.0).max(0.0)),
                step.measured.latency.p50,
                step.p99()
            );
        }
        for (name, slope) in [
            ("resident bytes", self.resident),
            ("CPU-s per million", self.cpu_seconds_per_million),
            ("p99 ms", self.p99),
        ] {
            let Some(Slope {
                each,
                fixed,
                steepest,
            }) = slope
            else {
                continue;
            };
            let steepest = steepest.map_or_else(String::new, |step| {
                format!(
                    "; steepest from {} to {}: grows with the power {:.2}{}",
                    grouped(step.from),
                    grouped(step.to),
                    step.exponent,
                    if step.is_super_linear {
                        " (super-linear)"
                    } else {
                        ""
                    }
                )
            });
            println!("  {name}: {each:.3e} for each {unit}, {fixed:.2} fixed{steepest}");
        }
    }
}
