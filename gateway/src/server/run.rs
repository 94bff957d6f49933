//! A gateway as a process: from the command line to the exit code.

use std::{future::pending, process::ExitCode};

use anyhow::{Context, bail};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{error, info, warn};

use super::{Leave, Server};
use crate::{
    cli::{Cli, EX_FAILURE, EX_USAGE},
    config::{Loaded, Loader, POLL_INTERVAL, Watcher},
    limits::raise_file_limit,
    telemetry::{LogHandle, logs},
};

/// Threads for bus, ops port and everything else that is no worker.
const CONTROL_THREADS: usize = 2;

/// Runs the command line to its end.
pub fn run(cli: &Cli) -> ExitCode {
    if let Some(code) = cli.answer() {
        return code.into();
    }
    let loader = cli.loader();
    let given = match loader.read() {
        Ok(given) => given,
        Err(errors) => {
            eprintln!("{errors}");
            return EX_USAGE.into();
        }
    };
    match serve(given, &loader) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            eprintln!("natter-gateway: {error:#}");
            EX_FAILURE.into()
        }
    }
}

fn serve(given: Loaded, loader: &Loader) -> anyhow::Result<()> {
    let settings = &given.settings;
    let logs = logs::install(&settings.log.level, settings.log.format)?;
    match raise_file_limit() {
        Ok(limit) => info!(before = limit.before, after = limit.after, "limit of open files"),
        Err(error) => warn!(%error, "cannot raise the limit of open files"),
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()?;
    runtime.block_on(live(given, loader, &logs))
}

async fn live(given: Loaded, loader: &Loader, logs: &LogHandle) -> anyhow::Result<()> {
    // Before the ports are open: a signal that comes early must not kill the process.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut watcher = loader.watcher(POLL_INTERVAL);
    let server = Server::start(given.settings).await?;
    server.gateway.set_config_hash(given.file_hash);
    if server.gateway.live().settings.page.enabled {
        let scheme = server.gateway.tls.config().map_or("http", |_| "https");
        info!("the chat page is at {scheme}://{}/", server.public);
    }
    info!(
        public = %server.public,
        ops = %server.ops,
        version = env!("CARGO_PKG_VERSION"),
        bus = server.gateway.bus().map(|bus| bus.name()),
        "listening"
    );
    let how = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break Leave::Drained,
            _ = signals.interrupt.recv() => break Leave::Promptly,
            _ = signals.reload.recv() => server.reload(loader, Some(logs)),
            () = changed(watcher.as_mut()) => server.reload(loader, Some(logs)),
        }
    };
    tokio::select! {
        () = server.leave(how) => Ok(()),
        _ = signals.terminate.recv() => bail!("a second signal cut the drain short"),
        _ = signals.interrupt.recv() => bail!("a second signal cut the drain short"),
    }
}

async fn changed(watcher: Option<&mut Watcher>) {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => pending().await,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}
