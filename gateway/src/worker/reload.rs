//! New settings reach the worker.

use std::rc::Rc;

use natter_protocol::UnsubscribeCode;

use super::Worker;

impl Worker {
    /// Takes over the settings of the last reload. A room whose namespace is gone has no policy any more and gets
    /// nothing: its members are taken out and told.
    pub(super) fn refresh(self: &Rc<Self>) {
        let live = self.gateway.live();
        self.live.replace(live.clone());
        let mut closed = Vec::new();
        for room in self.rooms.borrow().values() {
            match live.namespaces.of(&room.channel) {
                Some(namespace) => room.set_namespace(namespace.clone()),
                None => closed.push(room.clone()),
            }
        }
        for room in closed {
            for session in room.sessions() {
                session.unsubscribe_with(self, &room.channel, UnsubscribeCode::Server);
            }
        }
    }
}
