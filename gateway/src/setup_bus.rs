//! Makes the streams of a configuration at NATS, as a user that may do so, for gateways whose user may not
//! (`bus.nats.manage_streams: false`).

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use anyhow::bail;
use tokio::time::sleep;

use crate::{
    bus::{SetUpStreams, SetupError, set_up},
    config::{NatsSettings, Settings},
    errand,
    history::HistoryPolicy,
    namespace::durable_policies,
};

/// Makes them, saying on `out` what is there; an error says why some may be missing. Ends within the time limit.
pub fn run(settings: &Settings, time_limit: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(nats) = &settings.bus.nats else {
        bail!("bus.nats.servers names no NATS, and an embedded bus needs no setting up");
    };
    errand::within(time_limit, async |failed| {
        until_all_are_there(settings, nats, out, failed).await
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
        sleep(errand::PAUSE).await;
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
