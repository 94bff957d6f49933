//! Members of rooms, who only listen.

use std::{cell::RefCell, future::Future, rc::Rc};

use anyhow::ensure;
use tokio::task::{AbortHandle, spawn_local};

use crate::{
    client::Client,
    pace::{self, Until},
    run::Run,
};

/// Connections that are being opened at the same time.
pub const OPENING: usize = 64;

/// Those who are there. Clones are the same crowd.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Rc<RefCell<Vec<AbortHandle>>>);

impl Crowd {
    /// Opens the connection with this number in the run, in the room, and leaves it listening.
    pub fn open(
        &self,
        run: &Rc<Run>,
        number: usize,
        room: String,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let (crowd, run) = (self.clone(), run.clone());
        async move {
            let client = Client::open(&run, number, Some(&room)).await?;
            let member = spawn_local(client.stay());
            crowd.0.borrow_mut().push(member.abort_handle());
            Ok(())
        }
    }

    /// How many have come and not left.
    pub fn size(&self) -> usize {
        self.0.borrow().len()
    }

    /// Everybody's connection ends without a word, as when a network goes away.
    pub fn leave(&self) {
        for member in self.0.take() {
            member.abort();
        }
    }
}

/// The room of a connection: round robin, so that rooms have as many members each. Addresses are taken round robin too; where
/// that would bring all members of a room to the same one, each round begins a room later.
fn room_of(number: usize, rooms: usize, doors: usize) -> usize {
    let round = number / rooms;
    let shift = if rooms.is_multiple_of(doors) { round } else { 0 };
    (number + shift) % rooms
}

/// The name of the room of the connection with this number.
pub fn room(run: &Run, number: usize, rooms: usize) -> String {
    run.room(room_of(number, rooms, run.server.doors()))
}

/// Opens connections `first..end`, spread over the rooms, and leaves them listening.
pub async fn open(run: &Rc<Run>, first: usize, end: usize, rooms: usize) -> anyhow::Result<Crowd> {
    let crowd = Crowd::default();
    let (run_of_call, opened) = (run.clone(), crowd.clone());
    let opening = pace::in_flight(OPENING, Until::Calls(end - first), move |_, call| {
        let number = first + call;
        opened.open(&run_of_call, number, room(&run_of_call, number, rooms))
    });
    opening.await?.check("connections")?;
    ensure!(
        run.tally.ended.get() == 0,
        "a connection was lost: {}",
        run.trouble()
    );
    Ok(crowd)
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
