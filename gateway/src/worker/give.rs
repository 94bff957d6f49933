//! From a publication, or a batch of them, to the outboxes of the members of its room on this worker.

use std::{ops::Range, rc::Rc, sync::Arc};

use tokio::time::Instant;

use super::{Worker, flush::Lane};
use crate::{
    frame::Frame,
    outgoing::Outgoing,
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
        let mut owed = 0;
        for place in places {
            if let Some(Delivery::Push(session)) = room.delivery(place, batch.oldest()) {
                let wire = session.wire();
                let joined = batch.joined(wire, |batch| self.join(room, batch, wire));
                owed += 1;
                session.push_in(self, self.form(room, joined, &session), Lane::Bulk);
            } else {
                // Who waits for an answer, or is to have a part of the batch only.
                for outgoing in &**batch {
                    self.give(room, outgoing, place..place + 1, Lane::Bulk);
                }
            }
        }
        for outgoing in &**batch {
            self.owed(outgoing, owed);
        }
    }

    /// A batch as one frame, compressed as far as its publications are.
    fn join(&self, room: &Room, batch: &[Arc<Outgoing>], wire: Wire) -> Frame {
        let parts = || batch.iter().map(|outgoing| &**outgoing.frame(wire));
        if room.takers() > 0 {
            for part in parts() {
                self.compressed(room, part, wire.opcode());
            }
        }
        Frame::joined(parts())
    }

    /// Queues a publication for the members at some places.
    fn give(self: &Rc<Self>, room: &Rc<Room>, outgoing: &Outgoing, places: Range<usize>, lane: Lane) {
        let offset = outgoing.offset();
        let mut owed = 0;
        for place in places {
            let delivery = room.delivery(place, offset);
            owed += u64::from(delivery.is_some());
            let Some(Delivery::Push(session) | Delivery::Hold(session)) = &delivery else {
                continue;
            };
            let frame = self.form(room, outgoing.frame(session.wire()), session);
            if matches!(delivery, Some(Delivery::Push(_))) {
                session.push_in(self, frame, lane);
            } else {
                session.hold(self, room, offset, frame);
            }
        }
        self.owed(outgoing, owed);
    }

    /// Gives a member that is about to leave what was published before: its turn does not come any more.
    pub fn give_rest(self: &Rc<Self>, room: &Room, place: MemberIndex, session: &Rc<Session>) {
        for outgoing in room.rest_of(place) {
            let frame = outgoing.frame(session.wire());
            session.push_in(self, self.form(room, frame, session), Lane::Bulk);
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
