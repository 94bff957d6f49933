//! The command line, and the one thread that everything runs on.

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions};

use crate::{density, fanout, saturate};

/// Load tool for servers of the Centrifuge client protocol: starts a gateway, or drives one that runs
#[derive(Debug, Parser)]
#[command(name = "natter-bench", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Memory and CPU of idle connections, each in a room
    Density(density::Args),
    /// CPU and latency of deliveries at a fixed rate
    Fanout(fanout::Args),
    /// Deliveries per CPU-second at the highest rate that the server and this client sustain
    Saturate(saturate::Args),
}

impl Cli {
    /// Does what the command line asks. An error is a run that failed, or a bound that was exceeded.
    pub fn run(self) -> anyhow::Result<()> {
        raise_file_limit()?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .context("cannot start the runtime")?;
        runtime.block_on(async {
            match self.command {
                Command::Density(args) => density::run(args).await,
                Command::Fanout(args) => fanout::run(args).await,
                Command::Saturate(args) => saturate::run(args).await,
            }
        })
    }
}

/// A connection takes a descriptor; the server inherits the limit.
fn raise_file_limit() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
