//! Deletes the streams of a cluster that is no more: what the operator has done for `deletionPolicy: Delete` on an external
//! NATS, and what people do by hand.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::bail;
use tokio::time::sleep;

use crate::{
    bus::{DeletedStream, DeletionError, delete_streams},
    config::{NatsSettings, Settings},
    errand,
    namespace::durable_policies,
};

/// Deletes them, saying on `out` what went; an error says why some may be left. Ends within the time limit.
pub fn run(settings: &Settings, time_limit: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(nats) = &settings.bus.nats else {
        bail!("bus.nats.servers names no NATS, and an embedded bus keeps no streams");
    };
    errand::within(time_limit, async |failed| {
        until_none_is_left(settings, nats, out, failed).await
    })
}

async fn until_none_is_left(
    settings: &Settings,
    nats: &NatsSettings,
    out: &mut impl Write,
    failed: &mut Option<DeletionError>,
) -> anyhow::Result<()> {
    let unmanaged = unmanaged(settings);
    let mut written: io::Result<()> = Ok(());
    let mut count = 0;
    loop {
        let tell = |stream: &DeletedStream| {
            count += 1;
            let said = writeln!(out, "deleted {}, {} messages", stream.name, stream.messages);
            if let Err(error) = said {
                written = Err(error);
            }
        };
        match delete_streams(&settings.bus, nats, &unmanaged, tell).await {
            Ok(kept) => {
                written?;
                return conclude(count, &kept, out).map_err(Into::into);
            }
            Err(error) if error.is_temporary() => *failed = Some(error),
            Err(error) => return Err(error.into()),
        }
        sleep(errand::PAUSE).await;
    }
}

fn conclude(deleted: usize, kept: &[String], out: &mut impl Write) -> io::Result<()> {
    for stream in kept {
        writeln!(out, "kept {stream}: gateways do not manage it")?;
    }
    match deleted {
        0 => writeln!(out, "there was no stream to delete"),
        _ => writeln!(out, "no stream is left to delete"),
    }
}

/// Namespaces whose streams an administrator owns.
fn unmanaged(settings: &Settings) -> Vec<String> {
    let policies = durable_policies(&settings.rooms).into_iter();
    policies
        .filter(|policy| !policy.options.stream.managed)
        .map(|policy| policy.namespace.to_string())
        .collect()
}
