//! From a publication, or a batch of them, to the outboxes of the members of its room on this worker.

use std::{ops::Range, rc::Rc, sync::Arc};

use tokio::time::Instant;

use super::{Worker, compression::Forms, flush::Lane};
use crate::{
    frame::Frame,
    room::{Batch, Delivery, Given, MemberIndex, Room, Slice},
    session::Session,
};

impl Worker {
    /// Gives a publication to all members at once.
    pub(super) fn give_all(self: &Rc<Self>, room: &Rc<Room>, given: &Given) {
        room.note_given(Instant::now());
        begin(room, given);
        self.give(room, given, 0..room.places(), Lane::Prompt);
        self.done(given);
    }

    /// Gives a batch to some of the members. They may come and go between slices: who was there at the beginning and stays
    /// gets all of it once.
    pub(super) fn give_slice(self: &Rc<Self>, room: &Rc<Room>, slice: &Slice) {
        let Slice { batch, places, .. } = slice;
        if slice.is_first {
            room.note_given(Instant::now());
            batch.iter().for_each(|given| begin(room, given));
        }
        match batch.joined(|batch| self.join(room, batch)) {
            Some(joined) => self.give_joined(room, batch, joined, places.clone()),
            None => batch
                .iter()
                .for_each(|given| self.give(room, given, places.clone(), Lane::Bulk)),
        }
        if slice.is_last {
            batch.iter().for_each(|given| self.done(given));
        }
    }

    /// A batch as one frame, in as many forms as its publications are given in.
    fn join(&self, room: &Room, batch: &[Given]) -> Frame {
        for given in batch {
            self.forms(room, &given.frame);
        }
        Frame::joined(batch.iter().map(|given| &*given.frame))
    }

    fn give_joined(
        self: &Rc<Self>,
        room: &Rc<Room>,
        batch: &Batch,
        joined: &Arc<Frame>,
        places: Range<usize>,
    ) {
        let forms = Forms::known(joined);
        let mut owed = 0;
        for place in places {
            if let Some(Delivery::Push(session)) = room.delivery(place, batch.oldest()) {
                owed += 1;
                session.push_in(self, self.form(&forms, &session), Lane::Bulk);
            } else {
                // Who waits for an answer, or is to have a part of the batch only.
                for given in &**batch {
                    self.give(room, given, place..place + 1, Lane::Bulk);
                }
            }
        }
        self.owed(joined, owed);
    }

    /// Queues a frame for the members at some places.
    fn give(self: &Rc<Self>, room: &Rc<Room>, given: &Given, places: Range<usize>, lane: Lane) {
        let Given { offset, frame } = given;
        let forms = self.forms(room, frame);
        let mut owed = 0;
        for place in places {
            let delivery = room.delivery(place, *offset);
            owed += u64::from(delivery.is_some());
            match delivery {
                Some(Delivery::Push(session)) => session.push_in(self, self.form(&forms, &session), lane),
                Some(Delivery::Hold(session)) => {
                    session.hold(self, room, *offset, self.form(&forms, &session));
                }
                None => {}
            }
        }
        self.owed(frame, owed);
    }

    /// Gives a member that is about to leave what was published before: its turn does not come any more.
    pub fn give_rest(self: &Rc<Self>, room: &Room, place: MemberIndex, session: &Rc<Session>) {
        for Given { frame, .. } in room.rest_of(place) {
            let forms = self.forms(room, &frame);
            session.push_in(self, self.form(&forms, session), Lane::Bulk);
            self.owed(&frame, 1);
        }
    }
}

/// The first members are about to be given the publication.
fn begin(room: &Room, given: &Given) {
    room.advance(given.offset);
    for span in given
        .frame
        .deliveries()
        .iter()
        .filter_map(|mark| mark.span.as_ref())
    {
        span.add_members(room.member_count());
    }
}
