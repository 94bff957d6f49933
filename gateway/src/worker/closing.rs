//! Closing connections at a pace: all of them in a drain, some of them to spread the load.
//!
//! One pace is in force at a time: a new order, or the end of a drain that was taken back, ends the one before.

use std::{rc::Rc, sync::Arc};

use natter_protocol::DisconnectCode;
use tokio::time::sleep_until;

use super::Worker;
use crate::{
    drain::{Pace, Shed},
    session::{Ending, Session},
};

impl Worker {
    /// Ends the pace in force and returns the number of a new one.
    pub(super) fn next_pace(&self) -> u64 {
        let pace = self.pace.get() + 1;
        self.pace.set(pace);
        pace
    }

    /// Closes every connection with 3001, spread over `pace`, so that clients do not come back all at once. `number` is what
    /// [`Worker::next_pace`] gave when it was ordered.
    pub(super) async fn close_all(self: Rc<Self>, pace: Pace, number: u64) {
        let sessions = self.chosen(|_| true);
        let times = pace.times(sessions.len());
        // Each is let go once it is told: a socket lives as long as its session.
        for (session, time) in sessions.into_iter().zip(times) {
            sleep_until(time).await;
            if self.pace.get() != number {
                return;
            }
            session.end(&self, &Ending::Disconnect(DisconnectCode::Shutdown));
        }
    }

    /// Closes this worker's share of some connections with 3011, after which clients connect again and may come to another
    /// gateway.
    pub(super) async fn shed(self: Rc<Self>, shed: Arc<Shed>, number: u64) {
        let mut sessions = self.chosen(Session::is_connected);
        let offered = shed.offer(sessions.len());
        // By chance: those that came first are as many on each gateway, and would always be the ones to go.
        fastrand::shuffle(&mut sessions);
        sessions.truncate(offered);
        for (session, time) in sessions.into_iter().zip(shed.pace.times(offered)) {
            sleep_until(time).await;
            if self.pace.get() != number {
                return;
            }
            // Who went by itself needs no place among those that go.
            if session.is_connected() && shed.take() {
                session.end(&self, &Ending::Disconnect(DisconnectCode::ForceReconnect));
            }
        }
    }

    fn chosen(&self, fits: impl Fn(&Session) -> bool) -> Vec<Rc<Session>> {
        let sessions = self.sessions.borrow();
        let all = sessions.all.iter().map(|(_, session)| session);
        all.filter(|session| fits(session)).cloned().collect()
    }
}
