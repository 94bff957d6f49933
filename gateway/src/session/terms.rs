//! What few connections have beside their rooms: in one box, so that all others pay no more than a pointer for it.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Rights, Session,
    connect::{Admitting, Joining},
    expiry::{End, Expiring},
};
use crate::{channel::Channel, grant::Grant, revocation::Credential, worker::Worker};

#[derive(Default)]
pub(super) struct Terms {
    /// What others are told of the client wherever it is; empty: nothing.
    pub(super) info: Bytes,
    /// What the token said with which it came in, or has renewed its connection.
    pub(super) token: Option<Arc<Credential>>,
    /// While somebody decides whether it is let in.
    pub(super) admitting: Option<Admitting>,
    /// While it is let in and is being put into its first rooms.
    pub(super) joining: Option<Joining>,
    /// When the connection expires, as a Unix time in seconds; 0: never.
    pub(super) expire_at: u64,
    /// When it is looked at for that.
    pub(super) end: Option<End>,
    /// When the heartbeat is due, while the timer may fire before.
    pub(super) heartbeat_due: Option<Instant>,
    /// What it may do beside what namespaces permit, and by what expressions judge.
    pub(super) rights: Option<Box<Rights>>,
    rooms: Vec<RoomTerms>,
}

/// Of a room into which the server put the client.
struct RoomTerms {
    channel: Channel,
    /// What others in the room are told of the client.
    info: Bytes,
    /// What the token said with which the client joined, or has renewed its subscription.
    token: Option<Arc<Credential>>,
    /// When the subscription is looked at because it has expired.
    end: Option<End>,
}

impl Terms {
    fn is_empty(&self) -> bool {
        self.info.is_empty()
            && self.token.is_none()
            && self.admitting.is_none()
            && self.joining.is_none()
            && self.end.is_none()
            && self.heartbeat_due.is_none()
            && self.rights.is_none()
            && self.rooms.is_empty()
    }

    /// What is to be looked at by now.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Expiring> {
        let is_due = |end: &mut Option<End>| end.as_mut().is_some_and(|end| end.take_due(now));
        let connection = is_due(&mut self.end).then_some(Expiring::Connection);
        let rooms = self.rooms.iter_mut().filter_map(|room| {
            let is_due = is_due(&mut room.end);
            is_due.then(|| Expiring::Room(room.channel.clone()))
        });
        connection.into_iter().chain(rooms).collect()
    }

    pub(super) fn end_of(&mut self, what: &Expiring) -> Option<&mut End> {
        match what {
            Expiring::Connection => self.end.as_mut(),
            Expiring::Room(channel) => self.room_mut(channel)?.end.as_mut(),
        }
    }

    pub(super) fn set_room_end(&mut self, channel: &Channel, end: Option<End>) {
        match self.room_mut(channel) {
            Some(room) => room.end = end,
            None if end.is_some() => self.rooms.push(RoomTerms {
                channel: channel.clone(),
                info: Bytes::new(),
                token: None,
                end,
            }),
            None => {}
        }
    }

    /// What others are told of the client, wherever it is or in a room.
    pub(super) fn set_info(&mut self, what: &Expiring, info: Bytes) {
        match what {
            Expiring::Connection => self.info = info,
            Expiring::Room(channel) => {
                if let Some(room) = self.room_mut(channel) {
                    room.info = info;
                }
            }
        }
    }

    /// From now on the connection is by this token, and so are the subscriptions that its former one has brought.
    pub(super) fn set_token(&mut self, token: &Arc<Credential>) {
        let Some(former) = self.token.replace(token.clone()) else {
            return;
        };
        for brought in self.rooms.iter_mut().filter_map(|room| room.token.as_mut()) {
            if Arc::ptr_eq(brought, &former) {
                *brought = token.clone();
            }
        }
    }

    /// From now on the subscription is by this token.
    pub(super) fn set_room_token(&mut self, channel: &Channel, token: Arc<Credential>) {
        match self.room_mut(channel) {
            Some(room) => room.token = Some(token),
            None => self.rooms.push(RoomTerms {
                channel: channel.clone(),
                info: Bytes::new(),
                token: Some(token),
                end: None,
            }),
        }
    }

    pub(super) fn room_token(&self, channel: &str) -> Option<Arc<Credential>> {
        self.room(channel)?.token.clone()
    }

    /// Of the connection and its rooms.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Arc<Credential>> {
        let rooms = self.rooms.iter().filter_map(|room| room.token.as_ref());
        self.token.iter().chain(rooms)
    }

    fn room_mut(&mut self, channel: &str) -> Option<&mut RoomTerms> {
        self.rooms.iter_mut().find(|room| &*room.channel == channel)
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
        let what = Expiring::Room(channel.clone());
        // What expired while the room was joined is looked at with the next turn of the timer.
        let end = what
            .end(worker, grant.expire_at)
            .unwrap_or_else(|_| Some(End::now()));
        if grant.info.is_empty() && grant.token.is_none() && end.is_none() {
            return;
        }
        let room = RoomTerms {
            channel: channel.clone(),
            info: grant.info.clone(),
            token: grant.token.clone(),
            end,
        };
        self.with_terms(|terms| terms.rooms.push(room));
        if end.is_some() {
            self.wait_for_ends(worker);
        }
    }

    /// When the connection or one of its subscriptions is to be looked at next.
    pub(super) fn soonest_end(&self) -> Option<Instant> {
        let terms = self.terms.borrow();
        let terms = terms.as_ref()?;
        let rooms = terms.rooms.iter().filter_map(|room| room.end);
        rooms.chain(terms.end).filter_map(|end| end.due()).min()
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
