//! Replies in the order of their commands, although some of them wait for the bus.
//!
//! A reply that is ready goes straight to the outbox unless an earlier command is still being answered; then it queues
//! behind it. Nothing is kept while no command waits.

use std::{collections::VecDeque, sync::Arc};

use crate::frame::Frame;

/// Replies that may wait; above it the session stops reading until the bus has answered.
pub(super) const MAX_WAITING: usize = 256;

/// Place of a reply that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplySlot {
    number: u64,
    /// Id of the command that is answered.
    pub(super) id: u32,
}

#[derive(Default)]
pub(super) struct Replies {
    waiting: Option<Box<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Number of the slot at the front.
    first: u64,
    slots: VecDeque<Option<Arc<Frame>>>,
}

impl Replies {
    /// The frame to write now, or `None` when it has to wait for earlier ones.
    pub(super) fn ready(&mut self, frame: Arc<Frame>) -> Option<Arc<Frame>> {
        let Some(queue) = &mut self.waiting else {
            return Some(frame);
        };
        queue.slots.push_back(Some(frame));
        None
    }

    /// Keeps the place of a reply that will come.
    pub(super) fn defer(&mut self, id: u32) -> ReplySlot {
        let queue = self.waiting.get_or_insert_default();
        queue.slots.push_back(None);
        ReplySlot {
            number: queue.first + queue.slots.len() as u64 - 1,
            id,
        }
    }

    /// Fills a place; returns all frames that can be written now, in order.
    pub(super) fn complete(&mut self, slot: ReplySlot, frame: Arc<Frame>) -> Vec<Arc<Frame>> {
        let Some(queue) = &mut self.waiting else {
            return Vec::new();
        };
        let index = usize::try_from(slot.number.wrapping_sub(queue.first)).unwrap_or(usize::MAX);
        if let Some(place) = queue.slots.get_mut(index) {
            *place = Some(frame);
        }
        let mut ready = Vec::new();
        while let Some(Some(frame)) = queue.slots.front_mut().map(Option::take) {
            queue.slots.pop_front();
            queue.first += 1;
            ready.push(frame);
        }
        if queue.slots.is_empty() {
            self.waiting = None;
        }
        ready
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(|queue| queue.slots.len() >= MAX_WAITING)
    }

    pub(super) fn clear(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(byte: u8) -> Arc<Frame> {
        Arc::new(Frame::from_bytes([byte].into()))
    }

    fn bytes(frames: &[Arc<Frame>]) -> Vec<u8> {
        frames.iter().map(|frame| frame.bytes()[0]).collect()
    }

    #[test]
    fn replies_keep_the_order_of_commands() {
        let mut replies = Replies::default();
        assert!(replies.ready(frame(0)).is_some());
        let first = replies.defer(7);
        let second = replies.defer(7);
        assert!(replies.ready(frame(3)).is_none());
        assert!(replies.complete(second, frame(2)).is_empty());
        assert_eq!(bytes(&replies.complete(first, frame(1))), [1, 2, 3]);
        assert!(replies.waiting.is_none());
        assert!(replies.ready(frame(4)).is_some());
    }

    #[test]
    fn a_later_slot_can_be_filled_after_earlier_ones_went_out() {
        let mut replies = Replies::default();
        let first = replies.defer(7);
        let second = replies.defer(7);
        assert_eq!(bytes(&replies.complete(first, frame(1))), [1]);
        let third = replies.defer(7);
        assert_eq!(bytes(&replies.complete(second, frame(2))), [2]);
        assert_eq!(bytes(&replies.complete(third, frame(3))), [3]);
    }
}
