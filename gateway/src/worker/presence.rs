//! Who joined and left a room, on the way to its members on this worker.

use std::rc::Rc;

use super::Worker;
use crate::presence::Told;

impl Worker {
    /// Tells those of the members that want to know. Returns the frames that were to be queued.
    pub(super) fn tell_joins(self: &Rc<Self>, told: &Told) -> usize {
        let room = self.rooms.borrow().get(&*told.channel).cloned();
        let Some(room) = room.filter(|room| room.namespace().options.join_leave) else {
            return 0;
        };
        if self
            .gateway
            .holds_back(&self.live(), &room.namespace(), &room.channel)
        {
            return 0;
        }
        let members = room.members();
        for session in &members {
            session.tell_joins(self, &room, told);
        }
        members.len()
    }
}
