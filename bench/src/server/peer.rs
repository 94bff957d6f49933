//! Servers to compare with that are not gateways, each with the settings under which it is strongest.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use natter_tests::{nats::NatsServer, port::ReservedPort, tools, wait::eventually};
use tokio::net::TcpStream;

use super::process::{Listening, Process};

const START_LIMIT: Duration = Duration::from_secs(30);
/// What installs the packages of `bench/peers`.
const INSTALL: &str = "scripts/setup node_packages";

/// A subcommand of this program, which is `bench` where another one runs this.
pub(super) fn own(bench: Option<&Path>, name: &'static str) -> anyhow::Result<(Process, Listening)> {
    let program = match bench {
        Some(program) => program.to_owned(),
        None => env::current_exe()?,
    };
    Process::start(name, Command::new(program).args(["peer", name]))
}

/// Bun: the native program, without the Node.js that its package may be started by.
pub(super) fn bun() -> anyhow::Result<(Process, Listening)> {
    let folder = folder("bun")?;
    let mut command = Command::new(folder.join("node_modules/.bin/bun"));
    Process::start("bun", command.arg(folder.join("server.js")))
}

/// socket.io on Node.js.
pub(super) fn socketio() -> anyhow::Result<(Process, Listening)> {
    let mut command = Command::new(tools::node()?);
    command.env("NODE_ENV", "production");
    Process::start("socketio", command.arg(folder("socketio")?.join("server.js")))
}

/// The folder of a peer whose packages are installed.
fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    ensure!(
        folder.join("node_modules").is_dir(),
        "bench/peers/{name}/node_modules is missing: run {INSTALL}, which installs the packages beside it"
    );
    Ok(folder)
}

/// NATS with its WebSocket open, and where that is.
pub(super) async fn nats() -> anyhow::Result<(NatsServer, ReservedPort)> {
    let port = ReservedPort::take()?;
    let address = port.address();
    // Frames go out as they are, as those of the others do.
    let config = format!("websocket {{ listen: \"{address}\", no_tls: true, compression: false }}");
    let nats = NatsServer::builder().config(&config).start().await?;
    eventually("NATS takes WebSockets", START_LIMIT, async || {
        TcpStream::connect(address).await.context("it does not listen")
    })
    .await?;
    Ok((nats, port))
}
