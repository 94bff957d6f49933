//! The time between the last leave of a room and the end of its subscription.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Generation, Rooms};
use crate::{bus::SharedBus, channel::Channel};

/// A room lost its last member at this moment.
pub(super) struct Emptied {
    pub(super) channel: Channel,
    pub(super) generation: Generation,
    pub(super) at: Instant,
}

/// Ends the subscriptions of rooms that stay empty. One queue serves all of them, for the time is the same for each.
pub struct Linger {
    pub(super) emptied: mpsc::UnboundedReceiver<Emptied>,
}

impl Linger {
    pub async fn run(mut self, rooms: Arc<Rooms>, bus: SharedBus, linger: Duration) {
        let mut waiting: VecDeque<Emptied> = VecDeque::new();
        loop {
            let due = waiting.front().map(|emptied| emptied.at + linger);
            tokio::select! {
                emptied = self.emptied.recv() => match emptied {
                    Some(emptied) => waiting.push_back(emptied),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some(emptied) = waiting.pop_front() {
                        rooms.expire(&emptied, &bus);
                    }
                }
            }
        }
    }
}
