//! From a publication, or a batch of them, to the outboxes of the members of its room on this worker.

use std::{ops::Range, rc::Rc, sync::Arc};

use tokio::time::Instant;

use super::{Worker, flush::Lane};
use crate::{
    frame::Frame,
    outgoing::{Form, Outgoing},
    room::{Batch, Delivery, MemberIndex, Room, Slice},
    session::Session,
    wire::Wire,
};

impl Worker {
    /// Gives a publication to all members at once.
    pub(super) fn give_all(self: &Rc<Self>, room: &Rc<Room>, outgoing: &Outgoing) {
        room.note_given(Instant::now());
        begin(room, outgoing);
        self.give(room, outgoing, 0..room.places(), Lane::Prompt);
        self.done(outgoing);
    }

    /// Gives a batch to some of the members. They may come and go between slices: who was there at the beginning and stays
    /// gets all of it once.
    pub(super) fn give_slice(self: &Rc<Self>, room: &Rc<Room>, slice: &Slice) {
        let Slice { batch, places, .. } = slice;
        if slice.is_first {
            room.note_given(Instant::now());
            batch.iter().for_each(|outgoing| begin(room, outgoing));
        }
        if batch.joins {
            self.give_joined(room, batch, places.clone());
        } else {
            for outgoing in &***batch {
                self.give(room, outgoing, places.clone(), Lane::Bulk);
            }
        }
        if slice.is_last {
            batch.iter().for_each(|outgoing| self.done(outgoing));
        }
    }

    fn give_joined(self: &Rc<Self>, room: &Rc<Room>, batch: &Batch, places: Range<usize>) {
        let oldest = batch.oldest();
        let mut owed = 0;
        // Who waits for an answer, is to have a part of the batch only, or has it in another form.
        let mut others = Vec::new();
        for place in places {
            match room.delivery(place, oldest) {
                Some(Delivery::Push(session)) if !room.has_taste(place) => {
                    let wire = session.wire();
                    let joined = batch.joined(wire, |batch| self.join(room, batch, wire));
                    owed += 1;
                    session.push_in(self, self.for_member(room, joined, &session), Lane::Bulk);
                }
                _ => others.push(place),
            }
        }
        for outgoing in &**batch {
            self.owed(outgoing, owed);
            self.give(room, outgoing, others.iter().copied(), Lane::Bulk);
        }
    }

    /// A batch as one frame, compressed as far as its publications are.
    fn join(&self, room: &Room, batch: &[Arc<Outgoing>], wire: Wire) -> Frame {
        let parts = || batch.iter().map(|outgoing| &**outgoing.frame(wire, Form::Plain));
        if room.takers() > 0 {
            for part in parts() {
                self.compressed(room, part, wire.opcode());
            }
        }
        Frame::joined(parts())
    }

    /// Queues a publication for the members at some places.
    fn give(
        self: &Rc<Self>,
        room: &Rc<Room>,
        outgoing: &Outgoing,
        places: impl Iterator<Item = usize>,
        lane: Lane,
    ) {
        let offset = outgoing.offset();
        let mut owed = 0;
        for place in places {
            let Some(delivery) = room.delivery(place, offset) else {
                continue;
            };
            let is_held = matches!(delivery, Delivery::Hold(_));
            let Some(form) = room.form(place, outgoing, is_held) else {
                continue;
            };
            owed += 1;
            let (Delivery::Push(session) | Delivery::Hold(session)) = delivery;
            let frame = self.for_member(room, outgoing.frame(session.wire(), form), &session);
            if is_held {
                session.hold(self, room, offset, frame);
            } else {
                session.push_in(self, frame, lane);
            }
        }
        self.owed(outgoing, owed);
    }

    /// Gives a member that is about to leave what was published before: its turn does not come any more.
    pub fn give_rest(self: &Rc<Self>, room: &Room, place: MemberIndex, session: &Rc<Session>) {
        for outgoing in room.rest_of(place) {
            let Some(form) = room.form(place as usize, &outgoing, false) else {
                continue;
            };
            let frame = outgoing.frame(session.wire(), form);
            session.push_in(self, self.for_member(room, frame, session), Lane::Bulk);
            self.owed(&outgoing, 1);
        }
    }
}

/// The first members are about to be given the publication.
fn begin(room: &Room, outgoing: &Outgoing) {
    room.advance(outgoing.offset());
    if let Some(span) = &outgoing.mark().span {
        span.add_members(room.member_count());
    }
}
