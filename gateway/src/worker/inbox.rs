//! What other threads have for this worker, in their order.

use std::{future::poll_fn, rc::Rc, sync::Arc};

use tokio::task::yield_now;

use super::Worker;
use crate::{
    bus::BusError,
    channel::Channel,
    frame::Frame,
    history::Position,
    inbox::Note,
    room::{Delivery, Room},
    rooms::Generation,
};

/// Members that a broadcast reaches before other tasks get their turn again.
const SLICE: usize = 4_096;

impl Worker {
    /// Handles notes for as long as the worker lives.
    pub async fn run_inbox(self: Rc<Self>) {
        let inbox = self.gateway.inbox(self.id).clone();
        let mut reached = 0;
        loop {
            let notes = poll_fn(|cx| inbox.poll_take(cx)).await;
            for note in notes {
                match note {
                    Note::Publication {
                        channel,
                        offset,
                        frame,
                    } => {
                        self.publication(&channel, offset, &frame, &mut reached).await;
                        inbox.done(&frame);
                    }
                    Note::RoomLive {
                        channel,
                        generation,
                        position,
                    } => {
                        self.room_is_live(&channel, generation, position);
                    }
                    Note::PositionLost { channel, position } => self.position_lost(&channel, &position),
                    Note::RoomFailed {
                        channel,
                        generation,
                        error,
                    } => {
                        self.room_failed(&channel, generation, error);
                    }
                    Note::Command(command) => self.command(&command),
                    Note::Reload => self.refresh(),
                }
            }
        }
    }

    /// Queues a frame for every member, in slices when there are many.
    async fn publication(
        self: &Rc<Self>,
        channel: &str,
        offset: u64,
        frame: &Arc<Frame>,
        reached: &mut usize,
    ) {
        let room = self.rooms.borrow().get(channel).cloned();
        let Some(room) = room else { return };
        room.advance(offset);
        if let Some(span) = frame.delivery().and_then(|mark| mark.span.as_ref()) {
            span.add_members(room.member_count());
        }
        let forms = self.forms(&room, frame);
        let mut owed = 0;
        // Members may come and go between slices: who was there at the beginning and stays gets the frame once.
        for place in 0..room.places() {
            let delivery = room.delivery(place, offset);
            owed += u64::from(delivery.is_some());
            match delivery {
                Some(Delivery::Push(session)) => session.push(self, self.form(&forms, &session)),
                Some(Delivery::Hold(session)) => {
                    session.hold(self, &room, offset, self.form(&forms, &session));
                }
                None => {}
            }
            *reached += 1;
            if *reached >= SLICE {
                *reached = 0;
                self.owed(frame, std::mem::take(&mut owed));
                yield_now().await;
            }
        }
        self.owed(frame, owed);
    }

    fn room_of(&self, channel: &Channel, generation: Generation) -> Option<Rc<Room>> {
        self.rooms
            .borrow()
            .get(&**channel)
            .filter(|room| room.generation == generation)
            .cloned()
    }

    fn room_is_live(self: &Rc<Self>, channel: &Channel, generation: Generation, position: Option<Position>) {
        // Everybody may have left meanwhile; the gateway was told then.
        let Some(room) = self.room_of(channel, generation) else {
            return;
        };
        room.live.set(true);
        room.set_position(position);
        while let Some(waiting) = room.next_waiting() {
            waiting.session.clone().room_is_live(self, &room, waiting);
        }
    }

    /// Whoever counts on its position has to recover, as far as that is possible.
    fn position_lost(self: &Rc<Self>, channel: &str, position: &Position) {
        let room = self.rooms.borrow().get(channel).cloned();
        let Some(room) = room else { return };
        if !room.restart(position) {
            return;
        }
        for session in room.members() {
            session.position_lost(self, &room);
        }
    }

    fn room_failed(self: &Rc<Self>, channel: &Channel, generation: Generation, error: BusError) {
        let Some(room) = self.room_of(channel, generation) else {
            return;
        };
        // The gateway has forgotten the room already: the next join starts afresh.
        self.rooms.borrow_mut().remove(&**channel);
        while let Some(waiting) = room.next_waiting() {
            waiting.session.clone().room_failed(self, channel, waiting, error);
        }
    }
}
