//! Publications of a room that wait for their turn on one worker, in order.
//!
//! They leave in batches: every member gets all of a batch, and only then does the next one begin. A batch is given in
//! slices of members, between which other rooms have their turn.

use std::{
    collections::VecDeque,
    ops::{Deref, Range},
    rc::Rc,
    sync::Arc,
};

use tokio_util::time::delay_queue::Key;

use crate::{
    frame::Frame,
    history::Position,
    outgoing::Outgoing,
    wire::{Frames, Wire},
};

/// Publications of one batch: as many as one write takes.
const BATCH: usize = 64;
/// Their bytes: a write of more gains nothing, and holds up the next one.
const BATCH_BYTES: usize = 256 * 1024;
/// Bytes of a batch up to which it is copied into one frame: copying more costs as much as writing it in pieces.
const JOINED_BYTES: usize = 64 * 1024;
/// Publications of one room that may wait; half of that lets new ones in again.
const MAX_WAITING: usize = 4_096;
/// Their bytes, counted once for each.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// What a room has to do next.
pub enum Step {
    Publication(Arc<Outgoing>),
    /// The room goes on from here, after a gap that cannot be filled.
    PositionLost(Position),
}

/// What all members of a room are given before the next thing.
#[derive(Default)]
pub struct Batch {
    publications: Vec<Arc<Outgoing>>,
    /// Whether it pays to give it as one frame: not for a single publication, nor for large ones.
    pub joins: bool,
    joined: Frames,
}

/// Some members of a room, by place, and what they are given.
pub struct Slice {
    pub batch: Rc<Batch>,
    pub places: Range<usize>,
    /// Nobody of the room has the batch yet.
    pub is_first: bool,
    /// Everybody of the room has it afterwards.
    pub is_last: bool,
}

/// What comes next out of what waits.
pub enum Turn {
    Slice(Slice),
    PositionLost(Position),
}

#[derive(Default)]
pub(super) struct Backlog {
    steps: VecDeque<Step>,
    /// Of the publications among the steps.
    bytes: usize,
    batch: Rc<Batch>,
    /// Who does not have the batch yet.
    places: Range<usize>,
    /// Ends the time for which the room collects what the next batch is made of.
    pub(super) timer: Option<Key>,
}

impl Backlog {
    pub(super) fn push(&mut self, step: Step) {
        self.bytes += step.bytes();
        self.steps.push_back(step);
    }

    /// How many steps wait for the next batch; `None` while one is under way.
    pub(super) fn collected(&self) -> Option<usize> {
        self.places.is_empty().then_some(self.steps.len())
    }

    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.places.is_empty()
    }

    /// Whether the room should take no more publications; `was` is the last answer.
    pub(super) fn is_overloaded(&self, was: bool) -> bool {
        let share = if was { 2 } else { 1 };
        self.steps.len() >= MAX_WAITING / share || self.bytes >= MAX_WAITING_BYTES / share
    }

    /// What to do now, of about `pushes` frames to members. A batch that begins is given to the members at places below
    /// `end`: who comes later was not there when it began, or takes a place that somebody left.
    pub(super) fn turn(&mut self, pushes: usize, end: usize) -> Option<Turn> {
        let is_first = self.places.is_empty();
        if is_first {
            match self.steps.pop_front()? {
                Step::Publication(first) => self.begin(first, end),
                Step::PositionLost(position) => return Some(Turn::PositionLost(position)),
            }
        }
        let start = self.places.start;
        let members = (pushes / self.batch.len()).max(1);
        self.places.start = self.places.end.min(start + members);
        Some(Turn::Slice(Slice {
            batch: self.batch.clone(),
            places: start..self.places.start,
            is_first,
            is_last: self.places.is_empty(),
        }))
    }

    /// What the member at `place` is still to be given of the batch under way.
    pub(super) fn rest_of_batch(&self, place: usize) -> &[Arc<Outgoing>] {
        if self.places.contains(&place) {
            &self.batch
        } else {
            &[]
        }
    }

    /// Publications of the next batches, as far as nothing is lost between them.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Arc<Outgoing>> {
        self.steps.iter().map_while(|step| match step {
            Step::Publication(outgoing) => Some(outgoing),
            Step::PositionLost(_) => None,
        })
    }

    /// Publications that not everybody was given.
    pub(super) fn into_rest(self) -> Vec<Arc<Outgoing>> {
        let begun = if self.places.is_empty() {
            &[]
        } else {
            &**self.batch
        };
        let waiting = self.steps.into_iter().filter_map(|step| match step {
            Step::Publication(outgoing) => Some(outgoing),
            Step::PositionLost(_) => None,
        });
        begun.iter().cloned().chain(waiting).collect()
    }

    fn begin(&mut self, first: Arc<Outgoing>, end: usize) {
        let mut bytes = first.size();
        let mut batch = vec![first];
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let is_publication = |step: &mut Step| matches!(step, Step::Publication(_));
            let Some(Step::Publication(next)) = self.steps.pop_front_if(is_publication) else {
                break;
            };
            bytes += next.size();
            batch.push(next);
        }
        self.bytes -= bytes;
        self.places = 0..end;
        self.batch = Rc::new(Batch {
            joins: batch.len() > 1 && bytes <= JOINED_BYTES,
            publications: batch,
            joined: Frames::default(),
        });
    }
}

impl Batch {
    /// All of it as one frame, which a socket takes at less cost than several.
    pub fn joined(&self, wire: Wire, join: impl FnOnce(&[Arc<Outgoing>]) -> Frame) -> &Arc<Frame> {
        self.joined.get_or_make(wire, || join(self))
    }

    /// The smallest offset; 0 in an ephemeral room.
    pub fn oldest(&self) -> u64 {
        self.iter()
            .map(|outgoing| outgoing.offset())
            .min()
            .unwrap_or_default()
    }
}

impl Deref for Batch {
    type Target = [Arc<Outgoing>];

    fn deref(&self) -> &[Arc<Outgoing>] {
        &self.publications
    }
}

impl Step {
    fn bytes(&self) -> usize {
        match self {
            Self::Publication(outgoing) => outgoing.size(),
            Self::PositionLost(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
