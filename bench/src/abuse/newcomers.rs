//! Ordinary clients from further away, who come while the floods run: the head of their request arrives in two halves.

use std::{cell::Cell, rc::Rc, time::Duration};

use anyhow::ensure;
use memchr::memmem;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{link, run::Run};

/// From one newcomer to the next.
const EVERY: Duration = Duration::from_millis(200);
/// Between the halves of a head: a round trip around the world.
const FAR: Duration = Duration::from_millis(300);
/// Until the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const REST: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// How many came, and how many of them came in.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Newcomers {
    pub(super) came: u64,
    pub(super) let_in: u64,
}

impl Newcomers {
    /// One after another for so long, then until the last of them knows.
    pub(super) async fn come(run: &Rc<Run>, duration: Duration) -> Self {
        let let_in = Rc::<Cell<u64>>::default();
        let mut newcomers = Self::default();
        let mut coming = JoinSet::new();
        let mut passed = Duration::ZERO;
        while passed < duration {
            let (run, let_in) = (run.clone(), let_in.clone());
            coming.spawn_local(async move {
                if let Ok(Ok(())) = timeout(PATIENCE, comes_in(&run)).await {
                    let_in.set(let_in.get() + 1);
                }
            });
            newcomers.came += 1;
            sleep(EVERY).await;
            passed += EVERY;
        }
        coming.join_all().await;
        newcomers.let_in = let_in.get();
        newcomers
    }
}

async fn comes_in(run: &Run) -> anyhow::Result<()> {
    let (mut receiver, sender) = link::open(run, 0).await?;
    let (server, path) = (run.server.address(0), &run.server.path);
    sender.send(format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n").as_bytes())?;
    sleep(FAR).await;
    sender.send(REST.as_bytes())?;
    let mut is_answered = false;
    while !is_answered {
        let read = |bytes: &[u8]| {
            is_answered = memmem::find(bytes, b"\r\n\r\n").is_some();
            ensure!(!is_answered || bytes.starts_with(b"HTTP/1.1 101 "), "refused");
            Ok(0)
        };
        receiver.receive(&run.scratch, read).await?;
    }
    Ok(())
}
