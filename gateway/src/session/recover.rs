//! Catching up in a durable room: from what a client says it has to the room's head, and on from there without a gap.
//!
//! The position at which a session joins divides the room: what came before is read, once for all who ask
//! ([`crate::recovery`]); what comes after is held until the answer with the former has gone out.

mod plan;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use natter_protocol::{DisconnectCode, ErrorCode, Push, ReplyBody, ServerSubscription, SubscribeResult};

use self::plan::{Plan, plan};
use super::{
    Ending, ReplySlot, Session,
    output::{LEFT, RECOVERED, SLOW_READER},
    wish::{Former, Wants, Wish},
};
use crate::{
    bus::BusError,
    frame::Frame,
    gateway::error_code,
    history::Position,
    permission::Operation,
    publication::Publication,
    recovery::Missed,
    room::{MemberIndex, Room},
    worker::Worker,
};

/// Publications that wait until the answer to their reader's join has gone out: because it recovers, or because earlier
/// commands are not answered yet.
pub(super) struct Held {
    room: Rc<Room>,
    /// Where the join is to be answered, as long as it is not.
    unanswered: Cell<Option<ReplySlot>>,
    /// What the client has with the answer; what is held follows it. 0 in an ephemeral room.
    since: Cell<u64>,
    frames: RefCell<Vec<(u64, Arc<Frame>)>>,
    bytes: Cell<usize>,
}

impl Session {
    /// Answers a join, at once or when what the client missed was read. No publication goes out before.
    pub(super) fn catch_up(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        place: MemberIndex,
        wish: Wish,
    ) {
        let position = room.position();
        let since = position.as_ref().map_or(0, |position| position.offset);
        let is_next = self.replies.borrow().is_next(wish.slot);
        if !is_next {
            self.hold_back(room, place, wish.slot, since);
        }
        let Some(position) = position.filter(|_| wish.positioned) else {
            let result = SubscribeResult {
                was_recovering: wish.was_recovering,
                delta: wish.has_deltas(),
                data: wish.data(),
                ..SubscribeResult::default()
            };
            return self.answer_join(worker, room, &wish, &result);
        };
        let Some(former) = wish.recover.clone() else {
            return self.answer_at(worker, room, &wish, &position, false, &[]);
        };
        let missed = match plan(worker, room, &former, &position) {
            Plan::Answer(missed) => return self.answer_recovery(worker, room, &wish, &position, &missed),
            Plan::Read(missed) => missed,
        };
        if is_next {
            self.hold_back(room, place, wish.slot, since);
        }
        let Some(held) = self.held(room) else { return };
        let (session, worker) = (self.clone(), worker.clone());
        tokio::task::spawn_local(async move {
            let missed = missed.await;
            session.recovered(&worker, &held, &wish, &position, missed);
        });
    }

    /// From now on the member's publications wait.
    fn hold_back(&self, room: &Rc<Room>, place: MemberIndex, slot: Option<ReplySlot>, since: u64) {
        room.hold_back(place);
        if let Some(subscription) = self.subscriptions.borrow_mut().of_room(room) {
            subscription.held = Some(Rc::new(Held {
                room: room.clone(),
                unanswered: Cell::new(slot),
                since: Cell::new(since),
                frames: RefCell::default(),
                bytes: Cell::new(0),
            }));
        }
    }

    fn held(&self, room: &Rc<Room>) -> Option<Rc<Held>> {
        self.subscriptions.borrow_mut().of_room(room)?.held.clone()
    }

    /// Keeps a publication for a member that waits for its answer. What is kept counts as what it does not read.
    pub fn hold(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, offset: u64, frame: &Arc<Frame>) {
        let Some(held) = self.held(room) else {
            return worker.dropped(frame, LEFT);
        };
        if offset != 0 && offset <= held.since.get() {
            return worker.dropped(frame, RECOVERED);
        }
        let bytes = held.bytes.get() + frame.bytes().len();
        if bytes > worker.queue_max_size() {
            worker.dropped(frame, SLOW_READER);
            return self.end(worker, &Ending::Disconnect(DisconnectCode::Slow));
        }
        held.bytes.set(bytes);
        held.frames.borrow_mut().push((offset, frame.clone()));
        worker.counters().queued(1);
    }

    /// The answer to the join has gone out: what was held follows.
    pub(super) fn release(self: &Rc<Self>, worker: &Rc<Worker>, held: &Rc<Held>) {
        // The client may have left the room meanwhile, and even be back in it.
        let place = {
            let mut subscriptions = self.subscriptions.borrow_mut();
            let subscription = subscriptions.of_room(&held.room);
            let is_this = |present: &mut Rc<Held>| Rc::ptr_eq(present, held);
            subscription.and_then(|subscription| {
                subscription.held.take_if(is_this)?;
                subscription.place
            })
        };
        let Some(place) = place else { return };
        let (frames, since) = (held.take(worker), held.since.get());
        let newest = frames.last().map_or(since, |(offset, _)| since.max(*offset));
        held.room.release(place, newest);
        for (offset, frame) in &frames {
            if *offset == 0 || *offset > since {
                self.push(worker, frame);
            } else {
                worker.dropped(frame, RECOVERED);
            }
        }
    }

    /// What was missed is known. If it could not be read now, the client is told to try again: nothing is lost.
    fn recovered(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        held: &Rc<Held>,
        wish: &Wish,
        position: &Position,
        missed: Result<Missed, BusError>,
    ) {
        // The client may have left the room meanwhile, and even be back in it.
        if !self
            .held(&held.room)
            .is_some_and(|present| Rc::ptr_eq(&present, held))
        {
            return;
        }
        let missed = missed.map_err(error_code);
        let permitted = self.may_be_given(worker, &held.room.channel, Operation::Subscribe);
        let missed = match permitted.and(missed) {
            Ok(missed) => missed,
            Err(code) => return self.turn_away(worker, &held.room, wish, code),
        };
        let recovered = matches!(missed, Missed::All(_));
        if let Some(former) = wish
            .former()
            .filter(|former| recovered && former.wants != Wants::Newest)
        {
            // The client may be ahead of the room.
            held.since.set(former.offset.max(position.offset));
        }
        self.answer_recovery(worker, &held.room, wish, position, &missed);
    }

    fn answer_recovery(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        wish: &Wish,
        position: &Position,
        missed: &Missed,
    ) {
        let (recovered, publications) = match missed {
            // The connection would only come back for all of it again.
            Missed::All(publications) if wish.at_connect && !self.has_room_for(worker, publications) => {
                (false, [].as_slice())
            }
            Missed::All(publications) => (true, publications.as_slice()),
            Missed::TooMuch => (false, [].as_slice()),
        };
        if !self.has_room_for(worker, publications) {
            return self.turn_away(worker, room, wish, ErrorCode::TooManyRequests);
        }
        worker.gateway.metrics.recovery.answered(recovered);
        let all_or_nothing = |former: &Former| former.wants == Wants::AllOrNothing;
        if !recovered && wish.former().is_some_and(all_or_nothing) {
            return self.turn_away(worker, room, wish, ErrorCode::UnrecoverablePosition);
        }
        self.answer_at(worker, room, wish, position, recovered, publications);
    }

    /// Ends a join that cannot be completed, with an error.
    fn turn_away(self: &Rc<Self>, worker: &Rc<Worker>, room: &Rc<Room>, wish: &Wish, code: ErrorCode) {
        worker
            .gateway
            .metrics
            .protocol
            .command_failed("subscribe", code.code());
        if wish.at_connect {
            return self.fail_connect(worker, code.into());
        }
        // Who leaves before the answer would be told that it was in.
        if let Some(held) = self.held(room) {
            held.unanswered.set(None);
        }
        self.leave(worker, &room.channel);
        if let Some(slot) = wish.slot {
            self.complete(worker, slot, ReplyBody::Error(code));
        }
    }

    /// Answers a join at `position`. A client that recovered goes on from where it was: the publications bring it here.
    fn answer_at(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        wish: &Wish,
        position: &Position,
        recovered: bool,
        publications: &[Arc<Publication>],
    ) {
        let offset = match wish.former() {
            Some(former) if recovered && former.wants != Wants::Newest => former.offset,
            _ => position.offset,
        };
        let brought: Vec<_> = publications
            .iter()
            .filter(|publication| self.wire.takes(publication) && wish.wants(publication))
            .map(|publication| (publication, wish.form_data(self.wire, publication)))
            .collect();
        let publications: Vec<_> = brought
            .iter()
            .map(|(publication, data)| natter_protocol::Publication {
                data,
                ..publication.as_protocol()
            })
            .collect();
        room.namespace().metrics.recovered(publications.len());
        let result = SubscribeResult {
            recoverable: wish.recoverable,
            positioned: wish.positioned,
            epoch: position.epoch.as_str(),
            offset,
            recovered,
            was_recovering: wish.was_recovering,
            publications: &publications,
            delta: wish.has_deltas(),
            data: wish.data(),
            ..SubscribeResult::default()
        };
        self.answer_join(worker, room, wish, &result);
    }

    pub(super) fn answer_join(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Rc<Room>,
        wish: &Wish,
        result: &SubscribeResult<'_>,
    ) {
        let held = self.held(room);
        if let Some(held) = &held {
            held.unanswered.set(None);
        }
        match wish.slot {
            Some(slot) => {
                let body = ReplyBody::Subscribe(Self::tell_end(worker, room, wish, result));
                self.complete_and_release(worker, slot, body, held);
            }
            None if wish.at_connect => self.joined_at_connect(worker, &room.channel, result, held),
            None => self.push_join(worker, room, result, held),
        }
    }

    /// Tells of a join that was ordered. There is no place for publications in that push: what was missed comes behind it.
    fn push_join(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        room: &Room,
        result: &SubscribeResult<'_>,
        held: Option<Rc<Held>>,
    ) {
        let channel = &*room.channel;
        let subscription = ServerSubscription {
            recoverable: result.recoverable,
            positioned: result.positioned,
            epoch: result.epoch,
            offset: result.offset,
            data: result.data,
        };
        let missed = result
            .publications
            .iter()
            .map(|publication| Push::Publication { channel, publication });
        let subscribed = [Push::Subscribe {
            channel,
            subscription,
        }];
        let mut pushes = subscribed.into_iter().chain(missed).peekable();
        let mut held = held;
        while let Some(push) = pushes.next() {
            let follows = if pushes.peek().is_none() {
                held.take()
            } else {
                None
            };
            self.push_message(worker, &push, follows);
        }
    }
}

impl Held {
    /// Where the join is to be answered, if it is not yet.
    pub(super) fn unanswered(&self) -> Option<ReplySlot> {
        self.unanswered.get()
    }

    /// Offsets count anew: everything that comes from now on is given.
    pub(super) fn forget_position(&self) {
        self.since.set(0);
    }

    /// Gives up what is held.
    pub(super) fn drop_all(&self, worker: &Worker) {
        for (_, frame) in self.take(worker) {
            worker.dropped(&frame, LEFT);
        }
    }

    fn take(&self, worker: &Worker) -> Vec<(u64, Arc<Frame>)> {
        let frames = self.frames.take();
        worker.counters().queued(-(frames.len().cast_signed() as i64));
        frames
    }
}
