//! Makes the streams of a configuration at NATS, as a user that may do so, for gateways whose user may not
//! (`bus.nats.manage_streams: false`).

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    bus::{SetUpStreams, SetupError, set_up},
    config::{NatsSettings, Settings},
    history::HistoryPolicy,
    namespace::durable_policies,
};

/// Before what failed for the moment is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Makes them, saying on `out` what is there; an error says why some may be missing. Ends within the time limit.
pub fn run(settings: &Settings, time_limit: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(nats) = &settings.bus.nats else {
        bail!("bus.nats.servers names no NATS, and an embedded bus needs no setting up");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut failed = None;
        let setup = until_all_are_there(settings, nats, out, &mut failed);
        if let Ok(done) = timeout_at(Instant::now() + time_limit, setup).await {
            return done;
        }
        let limit = humantime::format_duration(time_limit);
        let reason = failed.map_or_else(String::new, |reason| format!(": {reason}"));
        bail!("not within {limit}{reason}")
    })
}

async fn until_all_are_there(
    settings: &Settings,
    nats: &NatsSettings,
    out: &mut impl Write,
    failed: &mut Option<SetupError>,
) -> anyhow::Result<()> {
    let policies: Vec<HistoryPolicy> = durable_policies(&settings.rooms);
    let mut told = BTreeSet::new();
    let mut written: io::Result<()> = Ok(());
    loop {
        let tell = |namespace: &str, streams: &SetUpStreams| {
            if told.insert(namespace.to_owned())
                && let Err(error) = say(namespace, streams, out)
            {
                written = Err(error);
            }
        };
        match set_up(&settings.bus, nats, &policies, tell).await {
            Ok(()) => {
                written?;
                return Ok(writeln!(out, "{} durable namespaces are set up", policies.len())?);
            }
            Err(error) if error.is_temporary() => *failed = Some(error),
            Err(error) => return Err(error.into()),
        }
        sleep(PAUSE).await;
    }
}

fn say(namespace: &str, streams: &SetUpStreams, out: &mut impl Write) -> io::Result<()> {
    let what = if streams.changed {
        "made or changed"
    } else {
        "found"
    };
    writeln!(out, "{namespace}: {what} {}", streams.names.join(", "))
}
