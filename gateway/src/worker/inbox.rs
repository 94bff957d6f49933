//! What other threads have for this worker, in their order.

use std::{future::poll_fn, rc::Rc};

use tokio::task::yield_now;

use super::{Worker, broadcast::PUSHES};
use crate::{
    bus::BusError,
    channel::Channel,
    history::Position,
    inbox::Note,
    room::{Room, Step},
    rooms::Generation,
};

impl Worker {
    /// Handles notes for as long as the worker lives.
    pub async fn run_inbox(self: Rc<Self>) {
        let inbox = self.gateway.inbox(self.id).clone();
        let mut pushes = 0;
        loop {
            let notes = poll_fn(|cx| inbox.poll_take(cx)).await;
            for note in notes {
                pushes += self.note(note);
                if pushes >= PUSHES {
                    pushes = 0;
                    yield_now().await;
                }
            }
        }
    }

    /// Handles one note; returns the frames that it queued for members.
    fn note(self: &Rc<Self>, note: Note) -> usize {
        match note {
            Note::Publication(outgoing) => return self.broadcast(outgoing),
            Note::RoomLive {
                channel,
                generation,
                position,
            } => self.room_is_live(&channel, generation, position),
            Note::PositionLost { channel, position } => self.position_lost(&channel, position),
            Note::RoomFailed {
                channel,
                generation,
                error,
            } => self.room_failed(&channel, generation, error),
            Note::Presence(told) => return self.tell_joins(&told),
            Note::Command(command) => self.command(&command),
            Note::Reload => self.refresh(),
        }
        0
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
        // Those who waited may have been kept out, all of them.
        self.leave_if_empty(&room);
    }

    /// Publications that came before it reach their members first.
    fn position_lost(self: &Rc<Self>, channel: &str, position: Position) {
        let room = self.rooms.borrow().get(channel).cloned();
        let Some(room) = room else { return };
        if room.has_backlog() {
            self.enqueue(&room, Step::PositionLost(position));
        } else {
            self.lose_position(&room, &position);
        }
    }

    /// Whoever counts on its position has to recover, as far as that is possible.
    pub(super) fn lose_position(self: &Rc<Self>, room: &Rc<Room>, position: &Position) {
        if room.restart(position) {
            for session in room.members() {
                session.position_lost(self, room);
            }
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
