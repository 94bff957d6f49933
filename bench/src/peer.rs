//! Servers to compare with that are part of this program, each in a process of its own. They speak as much of the Centrifuge
//! protocol in JSON as a load needs, found by text search, and deliver the very frames that a gateway delivers: what they do is the
//! same work without the rest of a gateway.

mod command;
mod floor;
mod naive;
mod request;

use std::net::SocketAddr;

use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Peer {
    /// For each member of the room one `send` call, from one thread
    Floor(Args),
    /// A channel of tokio for each room, tokio-tungstenite for each connection
    Naive(Args),
}

#[derive(Debug, clap::Args)]
#[group(id = "peer_args")]
pub struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

impl Peer {
    /// Serves until the process is ended.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Floor(args) => floor::run(args.listen),
            Self::Naive(args) => naive::run(args.listen),
        }
    }
}

/// Says where the server listens, as a gateway does.
fn announce(public: SocketAddr) {
    let version = concat!("natter-bench ", env!("CARGO_PKG_VERSION"));
    let line = json!({"level": "INFO", "message": "listening", "public": public, "version": version});
    eprintln!("{line}");
}

/// In the form of a gateway's client ids.
fn client_id() -> String {
    let (first, second) = (fastrand::u64(..), fastrand::u64(..));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        first >> 32,
        first >> 16 & 0xffff,
        first & 0xffff,
        second >> 48,
        second & 0xffff_ffff_ffff
    )
}
