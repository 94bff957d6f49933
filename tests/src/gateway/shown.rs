//! What a gateway has shown of its secrets, in its output and on its ops port.

use std::sync::atomic::Ordering;

use super::Gateway;
use crate::secrets::{self, Leak};
use crate::shown::shown_by;

impl Gateway {
    /// The secrets that are shown in the gateway's log and on its ops port. Whoever asks judges them: dropping the gateway does
    /// not fail the test any more.
    pub fn shown_secrets(&self) -> Vec<Leak> {
        self.watched.store(true, Ordering::Relaxed);
        self.look()
    }

    /// Fails the test when a secret is shown.
    pub(super) fn check_shown(&self) {
        if !self.watched.load(Ordering::Relaxed) {
            secrets::fail(&self.look());
        }
    }

    fn look(&self) -> Vec<Leak> {
        let running = self.running();
        let mut secrets = self.launch.secrets.lock();
        shown_by(&running.process, running.ops)
            .iter()
            .flat_map(|(place, text)| secrets.shown_in(place, text))
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.check_shown();
    }
}
