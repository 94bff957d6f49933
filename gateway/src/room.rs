//! The members of one room on one worker.

mod backlog;
mod pace;
mod tastes;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::time::delay_queue::Key;

use self::{backlog::Backlog, pace::Pace, tastes::Tastes};
pub use self::{
    backlog::{Batch, Slice, Step, Turn},
    tastes::Taste,
};
use crate::{
    channel::Channel,
    history::Position,
    namespace::Namespace,
    outgoing::{Form, Outgoing},
    rooms::Generation,
    session::{ReplySlot, Session, Wish},
};

/// A room as one worker sees it. It exists from the worker's first join to its last leave.
pub struct Room {
    pub channel: Channel,
    /// Replaced by a reload.
    namespace: RefCell<Arc<Namespace>>,
    pub generation: Generation,
    pub live: Cell<bool>,
    /// Of a durable room: after the newest publication that its members here got or are being given.
    position: RefCell<Option<Position>>,
    /// Of an ephemeral room: how many publications its members here got or are being given.
    given: Cell<u64>,
    members: RefCell<Members>,
    /// Who is answered when the bus has answered.
    waiting: RefCell<VecDeque<Waiting>>,
    /// What waits for its turn; boxed, as few rooms have any.
    backlog: RefCell<Option<Box<Backlog>>>,
    is_overloaded: Cell<bool>,
    pace: Cell<Pace>,
    /// Boxed, as few rooms have any.
    tastes: RefCell<Option<Box<Tastes>>>,
}

/// Place of a member in its room.
pub type MemberIndex = u32;

/// A join that waits for the bus.
pub struct Waiting {
    pub session: Rc<Session>,
    pub wish: Wish,
    /// What the session says meanwhile. It would miss its own message if that came back before it is a member.
    pub held: Vec<HeldMessage>,
}

/// A message of a session that waits for the room in which it is to be said. At most as many as replies may wait.
pub struct HeldMessage {
    pub slot: ReplySlot,
    pub message: Said,
}

/// What a client wants to say in a room.
pub struct Said {
    /// JSON text without raw newlines.
    pub data: Option<Bytes>,
    /// Idempotency key.
    pub key: Option<String>,
    /// W3C trace context of the call in which a backend was asked about it.
    pub traceparent: Option<String>,
}

/// Members by index, so that leaving costs the same in a room of two and of 100,000, and a broadcast can stop between
/// slices and go on: a member that joins meanwhile takes any free place.
#[derive(Default)]
struct Members {
    places: Vec<Option<Member>>,
    free: Vec<MemberIndex>,
    /// How many of them take compressed messages.
    takers: usize,
}

struct Member {
    session: Rc<Session>,
    /// The member gets what follows this offset or, in an ephemeral room, so many publications. With [`HELD`] while it
    /// recovers what came before.
    since: u64,
}

/// The member's publications are kept until it has recovered. No stream comes to an offset with this bit.
const HELD: u64 = 1 << 63;

/// What to do with a publication for one member.
pub enum Delivery {
    Push(Rc<Session>),
    /// Keep it until the member has recovered.
    Hold(Rc<Session>),
}

impl Room {
    pub fn new(
        channel: Channel,
        namespace: Arc<Namespace>,
        generation: Generation,
        live: bool,
        position: Option<Position>,
    ) -> Rc<Self> {
        Rc::new(Self {
            channel,
            namespace: RefCell::new(namespace),
            generation,
            live: Cell::new(live),
            position: RefCell::new(position),
            given: Cell::new(0),
            members: RefCell::default(),
            waiting: RefCell::default(),
            backlog: RefCell::default(),
            is_overloaded: Cell::new(false),
            pace: Cell::default(),
            tastes: RefCell::default(),
        })
    }

    /// The policy of the room.
    pub fn namespace(&self) -> Arc<Namespace> {
        self.namespace.borrow().clone()
    }

    pub fn set_namespace(&self, namespace: Arc<Namespace>) {
        self.namespace.replace(namespace);
    }

    /// Of a durable room: where its members here are.
    pub fn position(&self) -> Option<Position> {
        self.position.borrow().clone()
    }

    pub fn set_position(&self, position: Option<Position>) {
        self.position.replace(position);
    }

    /// The room goes on from `position`, perhaps in another epoch, where former offsets say nothing. False when it is
    /// beyond that already.
    pub fn restart(&self, position: &Position) -> bool {
        let former = self.position.replace(Some(position.clone()));
        if let Some(former) = former
            && former.epoch == position.epoch
            && former.offset > position.offset
        {
            self.position.replace(Some(former));
            return false;
        }
        for member in self.members.borrow_mut().places.iter_mut().flatten() {
            member.since = position.offset | (member.since & HELD);
        }
        true
    }

    /// A publication is given to the members from now on; `offset` is 0 in an ephemeral room. In a durable one it may be
    /// of before the worker left the room and came back: the position never goes back.
    pub fn advance(&self, offset: u64) {
        if offset == 0 {
            self.given.update(|given| given + 1);
        } else if let Some(position) = &mut *self.position.borrow_mut() {
            position.offset = position.offset.max(offset);
        }
    }

    /// Adds a member that gets what follows what the others got or are being given, though its place may be one whose turn
    /// is still to come: who leaves and comes back would get that again.
    pub fn add(&self, session: Rc<Session>) -> MemberIndex {
        let position = self.position.borrow();
        let since = position
            .as_ref()
            .map_or(self.given.get(), |position| position.offset);
        let mut members = self.members.borrow_mut();
        members.takers += usize::from(session.takes_compressed());
        let member = Some(Member { session, since });
        if let Some(index) = members.free.pop() {
            members.places[index as usize] = member;
            return index;
        }
        members.places.push(member);
        index_of(members.places.len() - 1)
    }

    /// Keeps the publications of a member until [`Room::release`].
    pub fn hold_back(&self, index: MemberIndex) {
        self.change_since(index, |since| since | HELD);
    }

    /// The member has everything up to the offset `until`; 0 in an ephemeral room.
    pub fn release(&self, index: MemberIndex, until: u64) {
        self.change_since(index, |since| until.max(since & !HELD));
    }

    fn change_since(&self, index: MemberIndex, change: impl FnOnce(u64) -> u64) {
        if let Some(Some(member)) = self.members.borrow_mut().places.get_mut(index as usize) {
            member.since = change(member.since);
        }
    }

    /// The member at a place wants something other than every publication as it is.
    pub fn set_taste(&self, index: MemberIndex, taste: &Taste) {
        self.tastes.borrow_mut().get_or_insert_default().add(index, taste);
    }

    /// Whether the room takes a member with this taste.
    pub fn takes(&self, taste: &Taste) -> bool {
        let tastes = self.tastes.borrow();
        match (&*tastes, &taste.filter) {
            (Some(tastes), Some(filter)) => tastes.has_space_for(filter),
            _ => true,
        }
    }

    /// Whether the member at a place is given publications in a form of its own.
    pub fn has_taste(&self, place: usize) -> bool {
        let tastes = self.tastes.borrow();
        tastes.as_ref().is_some_and(|tastes| tastes.has(index_of(place)))
    }

    /// How the member at a place is given a publication; `None` when it does not want it. With `is_held` it may never see
    /// it.
    pub fn form(&self, place: usize, outgoing: &Outgoing, is_held: bool) -> Option<Form> {
        match &mut *self.tastes.borrow_mut() {
            Some(tastes) => tastes.form(index_of(place), outgoing, is_held),
            None => Some(Form::Plain),
        }
    }

    pub fn remove(&self, index: MemberIndex) {
        self.tastes.borrow_mut().take_if(|tastes| {
            tastes.remove(index);
            tastes.is_empty()
        });
        let mut members = self.members.borrow_mut();
        let member = members.places.get_mut(index as usize).and_then(Option::take);
        if let Some(member) = member {
            members.takers -= usize::from(member.session.takes_compressed());
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
        let members = members.places.iter().flatten().map(|member| &member.session);
        members.chain(waiting).cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.member_count() == 0 && self.waiting.borrow().is_empty()
    }

    pub fn member_count(&self) -> usize {
        let members = self.members.borrow();
        members.places.len() - members.free.len()
    }

    /// Members that take compressed messages.
    pub fn takers(&self) -> usize {
        self.members.borrow().takers
    }

    /// What the member at a place has to do with a publication that is being given; `offset` is 0 in an ephemeral room.
    /// Places end at [`Room::places`].
    pub fn delivery(&self, place: usize, offset: u64) -> Option<Delivery> {
        let members = self.members.borrow();
        let member = members.places.get(place)?.as_ref()?;
        // Members of an ephemeral room get all of a batch or, when they came after its beginning, nothing of it.
        let newest = if offset == 0 { self.given.get() } else { offset };
        (newest > member.since & !HELD).then(|| {
            let session = member.session.clone();
            if member.since & HELD == 0 {
                Delivery::Push(session)
            } else {
                Delivery::Hold(session)
            }
        })
    }

    /// Everybody who is in the room.
    pub fn members(&self) -> Vec<Rc<Session>> {
        self.members
            .borrow()
            .places
            .iter()
            .flatten()
            .map(|member| member.session.clone())
            .collect()
    }

    pub fn places(&self) -> usize {
        self.members.borrow().places.len()
    }

    /// Notes that a publication came at `now`.
    pub fn note_pace(&self, now: Instant) {
        let mut pace = self.pace.get();
        pace.note(now, self.batch_window());
        self.pace.set(pace);
    }

    /// How long publications are collected while the room is busy.
    fn batch_window(&self) -> Duration {
        self.namespace.borrow().options.batch_window
    }

    /// Whether so many publications come that it pays to collect some.
    pub fn is_busy(&self) -> bool {
        self.pace.get().is_busy(self.batch_window())
    }

    /// Notes that members are given publications at `now`.
    pub fn note_given(&self, now: Instant) {
        let mut pace = self.pace.get();
        pace.give(now);
        self.pace.set(pace);
    }

    /// How much longer to collect, while the room is busy and less than `enough` waits; `None` when it is not to wait.
    pub fn collect_for(&self, now: Instant, enough: usize) -> Option<Duration> {
        let collected = self.backlog.borrow().as_ref()?.collected()?;
        let may = self.is_busy() && collected < enough;
        let rest = self.pace.get().rest(now, self.batch_window(), collected);
        (may && !rest.is_zero()).then_some(rest)
    }

    /// The timer that ends the room's collecting, while it does.
    pub fn timer(&self) -> Option<Key> {
        self.backlog.borrow().as_ref()?.timer
    }

    pub fn set_timer(&self, timer: Option<Key>) {
        if let Some(backlog) = &mut *self.backlog.borrow_mut() {
            backlog.timer = timer;
        }
    }

    /// Whether something waits for its turn, so that whatever comes has to wait behind it.
    pub fn has_backlog(&self) -> bool {
        self.backlog.borrow().is_some()
    }

    /// Lets a step wait for its turn.
    pub fn enqueue(&self, step: Step) {
        self.backlog.borrow_mut().get_or_insert_default().push(step);
    }

    /// What the member at a place is still to be given of what was published so far; nothing while it recovers.
    pub fn rest_of(&self, place: MemberIndex) -> Vec<Arc<Outgoing>> {
        let place = place as usize;
        let backlog = self.backlog.borrow();
        let Some(backlog) = &*backlog else {
            return Vec::new();
        };
        let members = self.members.borrow();
        let Some(Some(Member { since, .. })) = members.places.get(place) else {
            return Vec::new();
        };
        if since & HELD != 0 {
            return Vec::new();
        }
        let is_due = |outgoing: &&Arc<Outgoing>| outgoing.offset() == 0 || outgoing.offset() > *since;
        // See `Room::delivery`.
        let came_before = |outgoing: &&Arc<Outgoing>| outgoing.offset() != 0 || self.given.get() > *since;
        let begun = backlog.rest_of_batch(place).iter().filter(came_before);
        begun.chain(backlog.waiting()).filter(is_due).cloned().collect()
    }

    /// Gives up what waits, once nobody is here: the publications that nobody else will be given.
    pub fn abandon(&self) -> Vec<Arc<Outgoing>> {
        self.is_overloaded.set(false);
        let backlog = self.backlog.take();
        backlog.map_or_else(Vec::new, |backlog| backlog.into_rest())
    }

    /// What comes next, of about `pushes` frames to members; `None` when nothing waits.
    pub fn turn(&self, pushes: usize) -> Option<Turn> {
        let end = self.places();
        let mut slot = self.backlog.borrow_mut();
        let backlog = slot.as_mut()?;
        let turn = backlog.turn(pushes, end);
        if backlog.is_done() {
            *slot = None;
        }
        turn
    }

    /// Whether too much waits, if that has changed since the last call.
    pub fn overload_change(&self) -> Option<bool> {
        let was = self.is_overloaded.get();
        let backlog = self.backlog.borrow();
        let is = backlog.as_ref().is_some_and(|backlog| backlog.is_overloaded(was));
        self.is_overloaded.set(is);
        (is != was).then_some(is)
    }
}

fn index_of(place: usize) -> MemberIndex {
    // Sockets are bounded by file descriptors, far below u32.
    MemberIndex::try_from(place).unwrap_or(MemberIndex::MAX)
}
