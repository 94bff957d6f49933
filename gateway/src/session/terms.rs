//! What few connections have beside their rooms: in one box, so that all others pay no more than a pointer for it.

use std::rc::Rc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Session,
    connect::{Admitting, Joining},
    expiry::deadline,
};
use crate::{channel::Channel, grant::Grant, worker::Worker};

#[derive(Default)]
pub(super) struct Terms {
    /// What others are told of the client wherever it is; empty: nothing.
    pub(super) info: Bytes,
    /// While somebody decides whether it is let in.
    pub(super) admitting: Option<Admitting>,
    /// While it is let in and is being put into its first rooms.
    pub(super) joining: Option<Joining>,
    /// When the connection expires, as a Unix time in seconds; 0: never.
    pub(super) expire_at: u64,
    /// When it is ended for that.
    pub(super) end: Option<Instant>,
    /// When the heartbeat is due, while the timer may fire before.
    pub(super) heartbeat_due: Option<Instant>,
    rooms: Vec<RoomTerms>,
}

/// Of a room into which the server put the client.
struct RoomTerms {
    channel: Channel,
    /// What others in the room are told of the client.
    info: Bytes,
    /// When the subscription is ended because it expired.
    end: Option<Instant>,
}

impl Terms {
    fn is_empty(&self) -> bool {
        self.info.is_empty()
            && self.admitting.is_none()
            && self.joining.is_none()
            && self.end.is_none()
            && self.heartbeat_due.is_none()
            && self.rooms.is_empty()
    }

    /// Rooms whose subscription is to be ended by now.
    pub(super) fn expired_rooms(&self, now: Instant) -> Vec<Channel> {
        let expired = self
            .rooms
            .iter()
            .filter(|room| room.end.is_some_and(|end| end <= now));
        expired.map(|room| room.channel.clone()).collect()
    }

    fn room(&self, channel: &str) -> Option<&RoomTerms> {
        self.rooms.iter().find(|room| &*room.channel == channel)
    }
}

impl Session {
    /// Every change goes through here: the box is there as long as something is in it.
    pub(super) fn with_terms<R>(&self, change: impl FnOnce(&mut Terms) -> R) -> R {
        let mut slot = self.terms.borrow_mut();
        let result = change(slot.get_or_insert_default());
        if slot.as_ref().is_some_and(|terms| terms.is_empty()) {
            *slot = None;
        }
        result
    }

    /// The client is a member by the server's decision.
    pub(super) fn note_grant(self: &Rc<Self>, worker: &Rc<Worker>, channel: &Channel, grant: &Grant) {
        let delay = worker.live().settings.client.expired_sub_close_delay;
        // What expired while the room was joined ends with the next turn of the timer.
        let end = deadline(grant.expire_at, delay).unwrap_or_else(|_| Some(Instant::now()));
        if grant.info.is_empty() && end.is_none() {
            return;
        }
        let room = RoomTerms {
            channel: channel.clone(),
            info: grant.info.clone(),
            end,
        };
        self.with_terms(|terms| terms.rooms.push(room));
        if end.is_some() {
            self.wait_for_ends(worker);
        }
    }

    /// When the connection or one of its subscriptions is to be ended next.
    pub(super) fn soonest_end(&self) -> Option<Instant> {
        let terms = self.terms.borrow();
        let terms = terms.as_ref()?;
        let rooms = terms.rooms.iter().filter_map(|room| room.end);
        rooms.chain(terms.end).min()
    }

    pub(super) fn has_terms(&self) -> bool {
        self.terms.borrow().is_some()
    }

    /// The client leaves the room.
    pub(super) fn forget_room(&self, channel: &str) {
        self.with_terms(|terms| terms.rooms.retain(|room| &*room.channel != channel));
    }

    /// What others are told of the client wherever it is, and in this room.
    pub(super) fn infos(&self, channel: &str) -> (Bytes, Bytes) {
        let terms = self.terms.borrow();
        let Some(terms) = &*terms else {
            return Default::default();
        };
        let in_room = terms.room(channel).map(|room| room.info.clone());
        (terms.info.clone(), in_room.unwrap_or_default())
    }
}
