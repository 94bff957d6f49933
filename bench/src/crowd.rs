//! Members of rooms, who only listen.

use std::{cell::Cell, rc::Rc};

use anyhow::ensure;
use tokio::task::{JoinSet, spawn_local};

use crate::{client::Client, run::Run};

/// Connections that are being opened at the same time.
const OPENING: usize = 64;

/// Opens connections `first..end`, each in the room that its number names round robin, and leaves them listening.
pub async fn open(run: &Rc<Run>, first: usize, end: usize, rooms: usize) -> anyhow::Result<()> {
    let next = Rc::new(Cell::new(first));
    let mut openers = JoinSet::new();
    for _ in 0..OPENING {
        let (run, next) = (run.clone(), next.clone());
        openers.spawn_local(async move {
            while next.get() < end {
                let number = next.replace(next.get() + 1);
                let room = run.room(number % rooms);
                let client = Client::open(&run, number, Some(&room)).await?;
                spawn_local(client.stay());
            }
            anyhow::Ok(())
        });
    }
    while let Some(opener) = openers.join_next().await {
        opener??;
    }
    ensure!(
        run.tally.ended.get() == 0,
        "a connection was lost: {}",
        run.trouble()
    );
    Ok(())
}
