//! The members of one room on one worker.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    channel::Channel,
    namespace::Namespace,
    rooms::Generation,
    session::{ReplySlot, Session},
};

/// A room as one worker sees it. It exists from the worker's first join to its last leave.
pub struct Room {
    pub channel: Channel,
    pub namespace: Arc<Namespace>,
    pub generation: Generation,
    pub live: Cell<bool>,
    members: RefCell<Members>,
    /// Who is answered when the bus has answered.
    waiting: RefCell<VecDeque<Waiting>>,
}

/// Place of a member in its room.
pub type MemberIndex = u32;

/// A join that waits for the bus.
pub struct Waiting {
    pub session: Rc<Session>,
    /// Where the reply goes; `None` for a subscription made by the server API, which is told by a push.
    pub slot: Option<ReplySlot>,
    /// What the session says meanwhile. It would miss its own message if that came back before it is a member.
    pub held: Vec<HeldMessage>,
}

/// A message of a session that waits for the room in which it is to be said. At most as many as replies may wait.
pub struct HeldMessage {
    pub slot: ReplySlot,
    pub data: Option<Bytes>,
}

/// Members by index, so that leaving costs the same in a room of two and of 100,000, and a broadcast can stop between
/// slices and go on: a member that joins meanwhile takes any free place.
#[derive(Default)]
struct Members {
    places: Vec<Option<Rc<Session>>>,
    free: Vec<MemberIndex>,
}

impl Room {
    pub fn new(channel: Channel, namespace: Arc<Namespace>, generation: Generation, live: bool) -> Rc<Self> {
        Rc::new(Self {
            channel,
            namespace,
            generation,
            live: Cell::new(live),
            members: RefCell::default(),
            waiting: RefCell::default(),
        })
    }

    pub fn add(&self, session: Rc<Session>) -> MemberIndex {
        let mut members = self.members.borrow_mut();
        if let Some(index) = members.free.pop() {
            members.places[index as usize] = Some(session);
            return index;
        }
        members.places.push(Some(session));
        // Sockets are bounded by file descriptors, far below u32.
        MemberIndex::try_from(members.places.len() - 1).unwrap_or(MemberIndex::MAX)
    }

    pub fn remove(&self, index: MemberIndex) {
        let mut members = self.members.borrow_mut();
        if members
            .places
            .get_mut(index as usize)
            .and_then(Option::take)
            .is_some()
        {
            members.free.push(index);
        }
        if members.free.len() == members.places.len() {
            *members = Members::default();
        }
    }

    pub fn wait(&self, waiting: Waiting) {
        self.waiting.borrow_mut().push_back(waiting);
    }

    /// The join that has waited longest, to be answered. One at a time: an answer can end its session, and the room must
    /// then still know of those behind it, or it would be given up as empty.
    pub fn next_waiting(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.pop_front();
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        next
    }

    /// Keeps what a waiting session says until its wait ends.
    pub fn hold(&self, session: &Rc<Session>, message: HeldMessage) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(waiting) = waiting
            .iter_mut()
            .find(|waiting| Rc::ptr_eq(&waiting.session, session))
        {
            waiting.held.push(message);
        }
    }

    /// Ends the wait of `session`; `None` when it was not waiting.
    pub fn stop_waiting(&self, session: &Rc<Session>) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let index = waiting
            .iter()
            .position(|waiting| Rc::ptr_eq(&waiting.session, session))?;
        waiting.remove(index)
    }

    /// The members, and who waits to become one.
    pub fn sessions(&self) -> Vec<Rc<Session>> {
        let members = self.members.borrow();
        let waiting = self.waiting.borrow();
        let waiting = waiting.iter().map(|waiting| &waiting.session);
        members.places.iter().flatten().chain(waiting).cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.member_count() == 0 && self.waiting.borrow().is_empty()
    }

    pub fn member_count(&self) -> usize {
        let members = self.members.borrow();
        members.places.len() - members.free.len()
    }

    /// The member at a place, if there is one; places end at [`Room::places`].
    pub fn member(&self, place: usize) -> Option<Rc<Session>> {
        self.members.borrow().places.get(place).cloned().flatten()
    }

    pub fn places(&self) -> usize {
        self.members.borrow().places.len()
    }
}
