//! The command line, and the one thread that everything runs on.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
};

use crate::{
    abuse, bystanders, compare, connect, density, fanout, flood, peer::Peer, presence, publish, reconnect,
    render, rooms, saturate, scale, slow, storm,
};

/// Load tool for servers of the Centrifuge client protocol: starts a gateway, or drives one that runs
#[derive(Debug, Parser)]
#[command(name = "natter-bench", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    part: Part,
}

/// A process either loads a server or is one.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
enum Part {
    #[command(flatten)]
    Load(Command),
    /// A server to compare with, as `--server` starts it
    #[command(subcommand, hide = true)]
    Peer(Peer),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Memory and CPU of idle connections, each in a room
    Density(density::Args),
    /// Connecting and joining: rate, CPU, latency, and memory when connections come and go
    Connect(connect::Args),
    /// CPU and latency of deliveries at a fixed rate
    Fanout(fanout::Args),
    /// Deliveries per CPU-second at the highest rate that the server and this client sustain
    Saturate(saturate::Args),
    /// How costs grow with connections, rooms and bytes: slopes, and steps that are more than linear
    Scale(scale::Args),
    /// One large room is flooded: latency in other rooms
    Flood(flood::Args),
    /// Floods, half requests and members that never read, all at once: latency of those who only chat, memory, counters
    Abuse(abuse::Args),
    /// Some members do not keep up: latency of the others, memory, how they end
    Slow(slow::Args),
    /// Everybody drops and comes back at once: time, CPU, latency in other rooms
    Storm(storm::Args),
    /// Presence in a large room: memory of a member, cost of a join or leave
    Presence(presence::Args),
    /// Durable rooms: latency and throughput of publications until they are stored
    Publish(publish::Args),
    /// Durable rooms: what many of them cost, at NATS and in the gateway
    Rooms(rooms::Args),
    /// Durable rooms: everybody drops and comes back at once
    Reconnect(reconnect::Args),
    /// All servers at all rows of work, run by run
    Compare(compare::Args),
    /// Tables and plots of a comparison
    Render(render::Args),
    /// The second process of other subcommands
    #[command(hide = true)]
    Bystanders,
}

impl Cli {
    /// Does what the command line asks. An error is a run that failed, or a bound that was exceeded.
    pub fn run(self) -> anyhow::Result<()> {
        raise_file_limit()?;
        let command = match self.part {
            // It chooses its threads itself.
            Part::Peer(peer) => return peer.run(),
            Part::Load(command) => command,
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .context("cannot start the runtime")?;
        runtime.block_on(async {
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            tokio::select! {
                result = command.run() => return result,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // What the command started ends with it.
            bail!("interrupted")
        })
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Density(args) => density::run(args).await,
            Self::Connect(args) => connect::run(args).await,
            Self::Fanout(args) => fanout::run(args).await,
            Self::Saturate(args) => saturate::run(args).await,
            Self::Scale(args) => scale::run(args).await,
            Self::Flood(args) => flood::run(args).await,
            Self::Abuse(args) => abuse::run(args).await,
            Self::Slow(args) => slow::run(args).await,
            Self::Storm(args) => storm::run(args).await,
            Self::Presence(args) => presence::run(args).await,
            Self::Publish(args) => publish::run(args).await,
            Self::Rooms(args) => rooms::run(args).await,
            Self::Reconnect(args) => reconnect::run(args).await,
            Self::Compare(args) => compare::run(args).await,
            Self::Render(args) => render::run(&args),
            Self::Bystanders => bystanders::serve().await,
        }
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
