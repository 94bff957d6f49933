//! The command line, and the one thread that everything runs on.

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions};

use crate::{density, fanout, publish, reconnect, rooms, saturate};

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
    /// Durable rooms: latency and throughput of publications until they are stored
    Publish(publish::Args),
    /// Durable rooms: what many of them cost, at NATS and in the gateway
    Rooms(rooms::Args),
    /// Durable rooms: everybody drops and comes back at once
    Reconnect(reconnect::Args),
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
                Command::Publish(args) => publish::run(args).await,
                Command::Rooms(args) => rooms::run(args).await,
                Command::Reconnect(args) => reconnect::run(args).await,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
