//! Members of rooms, who only listen.

use std::{cell::Cell, rc::Rc};

use anyhow::ensure;
use tokio::task::{JoinSet, spawn_local};

use crate::{client::Client, run::Run};

/// Connections that are being opened at the same time.
const OPENING: usize = 64;

/// The room of a connection: round robin, so that rooms have as many members each. Addresses are taken round robin too; where
/// that would bring all members of a room to the same one, each round begins a room later.
fn room_of(number: usize, rooms: usize, doors: usize) -> usize {
    let round = number / rooms;
    let shift = if rooms.is_multiple_of(doors) { round } else { 0 };
    (number + shift) % rooms
}

/// Opens connections `first..end`, spread over the rooms, and leaves them listening.
pub async fn open(run: &Rc<Run>, first: usize, end: usize, rooms: usize) -> anyhow::Result<()> {
    let next = Rc::new(Cell::new(first));
    let mut openers = JoinSet::new();
    for _ in 0..OPENING {
        let (run, next) = (run.clone(), next.clone());
        openers.spawn_local(async move {
            while next.get() < end {
                let number = next.replace(next.get() + 1);
                let room = run.room(room_of(number, rooms, run.server.doors()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_of_one_size_and_have_members_at_every_address() {
        for (members, rooms, doors) in [(10, 1, 2), (10, 2, 2), (10, 3, 2), (10, 500, 2), (2, 4, 1)] {
            let mut at = vec![vec![0; doors]; rooms];
            for number in 0..members * rooms {
                at[room_of(number, rooms, doors)][number % doors] += 1;
            }
            assert_eq!(
                at,
                vec![vec![members / doors; doors]; rooms],
                "{members} in {rooms}"
            );
        }
    }
}
