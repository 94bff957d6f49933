//! One room as the gateway sees it, under the lock of its shard.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Generation, recent::Recent};
use crate::{history::Position, publication::Publication};

pub(super) struct Room {
    pub(super) generation: Generation,
    pub(super) state: State,
    /// Bit n is set while worker n has members here.
    pub(super) workers: u64,
    /// Bit n is set while worker n has so much of this room to deliver that it takes no more.
    pub(super) overloaded: u64,
    /// When the last member left, while nobody is here.
    pub(super) emptied_at: Option<Instant>,
    /// Of a durable room, once it is live. Boxed, since every room has a place for it.
    pub(super) durable: Option<Box<Durable>>,
    /// What a durable room was given before the bus had answered its subscription.
    pub(super) early: Vec<Arc<Publication>>,
    /// The newest publication that workers were given, where members may be given the difference to it.
    pub(super) last: Option<Arc<Publication>>,
}

pub(super) struct Durable {
    pub(super) position: Position,
    pub(super) recent: Recent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Joining,
    Live,
}

impl Room {
    pub(super) fn position(&self) -> Option<Position> {
        self.durable.as_ref().map(|durable| durable.position.clone())
    }

    pub(super) fn has(&self, offset: u64) -> bool {
        self.durable
            .as_ref()
            .is_some_and(|durable| offset <= durable.position.offset)
    }

    /// The bus delivers what follows `position`; some of it may have come already.
    pub(super) fn begin(&mut self, position: Option<Position>) {
        let Some(mut position) = position else { return };
        let before = self.durable.take();
        let mut recent = match before.filter(|before| before.position.epoch == position.epoch) {
            Some(before) => before.recent.restarting_at(position.offset),
            None => Recent::starting_at(position.offset),
        };
        for publication in std::mem::take(&mut self.early) {
            if publication.offset > position.offset {
                position.offset = publication.offset;
                recent.push(publication);
            }
        }
        self.durable = Some(Box::new(Durable { position, recent }));
    }

    pub(super) fn advance(&mut self, publication: Arc<Publication>) {
        match &mut self.durable {
            Some(durable) => {
                durable.position.offset = publication.offset;
                durable.recent.push(publication);
            }
            None => self.early.push(publication),
        }
    }
}
