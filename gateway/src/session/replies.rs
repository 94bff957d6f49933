//! Replies in the order of their commands, although some of them wait for the bus.
//!
//! A reply that is ready goes straight to the outbox unless an earlier command is still being answered; then it queues
//! behind it. Nothing is kept while no command waits.
//!
//! What follows from a reply must not overtake it: a member gets no publication before the reply to its join has gone
//! out ([`Held`]), and is told of an unsubscription behind it.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use super::recover::Held;
use crate::frame::Frame;

/// Replies that may wait; above it the session stops reading until the bus has answered. The commands of one frame are
/// all taken, so a frame's worth more may wait.
pub(super) const MAX_WAITING: usize = 256;

/// Place of a reply that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplySlot {
    number: u64,
    /// Id of the command that is answered.
    pub(super) id: u32,
}

/// A reply that is there, or a push that keeps its place among them.
pub(super) struct Answer {
    pub(super) frame: Arc<Frame>,
    /// What goes out right behind it.
    pub(super) held: Vec<Rc<Held>>,
}

#[derive(Default)]
pub(super) struct Replies {
    waiting: Option<Box<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Number of the slot at the front.
    first: u64,
    slots: VecDeque<Option<Answer>>,
    /// Of the frames in them.
    bytes: usize,
}

impl Replies {
    /// What to write now, or `None` when it has to wait for earlier ones.
    pub(super) fn ready(&mut self, answer: Answer) -> Option<Answer> {
        let Some(queue) = &mut self.waiting else {
            return Some(answer);
        };
        queue.bytes += answer.frame.bytes().len();
        queue.slots.push_back(Some(answer));
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

    /// Whether what fills this place goes out at once (`None`: what has no place yet).
    pub(super) fn is_next(&self, slot: Option<ReplySlot>) -> bool {
        self.waiting
            .as_ref()
            .is_none_or(|queue| slot.is_some_and(|slot| slot.number == queue.first))
    }

    /// Fills a place; returns all that can be written now, in order.
    pub(super) fn complete(&mut self, slot: ReplySlot, answer: Answer) -> Vec<Answer> {
        let Some(queue) = &mut self.waiting else {
            return Vec::new();
        };
        let index = usize::try_from(slot.number.wrapping_sub(queue.first)).unwrap_or(usize::MAX);
        if let Some(place) = queue.slots.get_mut(index) {
            queue.bytes += answer.frame.bytes().len();
            *place = Some(answer);
        }
        let mut ready = Vec::new();
        while let Some(Some(answer)) = queue.slots.front_mut().map(Option::take) {
            queue.slots.pop_front();
            queue.first += 1;
            queue.bytes -= answer.frame.bytes().len();
            ready.push(answer);
        }
        if queue.slots.is_empty() {
            self.waiting = None;
        }
        ready
    }

    /// Bytes of the replies that wait for earlier ones.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |queue| queue.bytes)
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
        Arc::new(Frame::from_bytes([byte]))
    }

    fn answer(byte: u8) -> Answer {
        Answer {
            frame: frame(byte),
            held: Vec::new(),
        }
    }

    fn bytes(answers: &[Answer]) -> Vec<u8> {
        answers.iter().map(|answer| answer.frame.bytes()[0]).collect()
    }

    #[test]
    fn replies_keep_the_order_of_commands() {
        let mut replies = Replies::default();
        assert!(replies.ready(answer(0)).is_some());
        let first = replies.defer(7);
        let second = replies.defer(7);
        assert!(replies.is_next(Some(first)) && !replies.is_next(Some(second)) && !replies.is_next(None));
        assert!(replies.ready(answer(3)).is_none());
        assert!(replies.complete(second, answer(2)).is_empty());
        assert_eq!(replies.bytes(), 2);
        assert_eq!(bytes(&replies.complete(first, answer(1))), [1, 2, 3]);
        assert!(replies.waiting.is_none());
        assert!(replies.ready(answer(4)).is_some());
    }

    #[test]
    fn a_later_slot_can_be_filled_after_earlier_ones_went_out() {
        let mut replies = Replies::default();
        let first = replies.defer(7);
        let second = replies.defer(7);
        assert_eq!(bytes(&replies.complete(first, answer(1))), [1]);
        let third = replies.defer(7);
        assert_eq!(bytes(&replies.complete(second, answer(2))), [2]);
        assert_eq!(bytes(&replies.complete(third, answer(3))), [3]);
    }
}
