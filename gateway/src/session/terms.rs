//! What few connections have beside their rooms: in one box, so that all others pay no more than a pointer for it.

use bytes::Bytes;

use super::{
    Session,
    connect::{Admitting, Joining},
};
use crate::{channel::Channel, grant::Grant};

#[derive(Default)]
pub(super) struct Terms {
    /// What others are told of the client wherever it is; empty: nothing.
    pub(super) info: Bytes,
    /// While somebody decides whether it is let in.
    pub(super) admitting: Option<Admitting>,
    /// While it is let in and is being put into its first rooms.
    pub(super) joining: Option<Joining>,
    rooms: Vec<RoomTerms>,
}

/// Of a room into which the server put the client.
struct RoomTerms {
    channel: Channel,
    /// What others in the room are told of the client.
    info: Bytes,
}

impl Terms {
    fn is_empty(&self) -> bool {
        self.info.is_empty() && self.admitting.is_none() && self.joining.is_none() && self.rooms.is_empty()
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
    pub(super) fn note_grant(&self, channel: &Channel, grant: &Grant) {
        if grant.info.is_empty() {
            return;
        }
        let room = RoomTerms {
            channel: channel.clone(),
            info: grant.info.clone(),
        };
        self.with_terms(|terms| terms.rooms.push(room));
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
