//! The newest publications of a live durable room, so that clients that come back together read the stream once.

use std::{collections::VecDeque, sync::Arc};

use crate::publication::Publication;

/// Publications kept for a room: what one recovery may bring by default.
const MAX_PUBLICATIONS: usize = 300;
/// Their payload bytes.
const MAX_BYTES: usize = 512 * 1024;

/// An unbroken piece of a room's history that ends at its head.
pub(super) struct Recent {
    /// Everything after this offset is here.
    after: u64,
    /// Whether 0 stands for the beginning. A room whose messages were all forgotten begins at 0 again over NATS, and
    /// only the stream knows.
    from_the_start: bool,
    /// Everything up to this offset was removed: a read that began before does not bring it back.
    removed: u64,
    publications: VecDeque<Arc<Publication>>,
    bytes: usize,
}

impl Recent {
    /// Nothing yet, for a room whose head is at `offset`.
    pub(super) fn starting_at(offset: u64) -> Self {
        Self {
            after: offset,
            from_the_start: false,
            removed: 0,
            publications: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Nothing any more: what there was up to the head at `offset` was removed.
    pub(super) fn removed_until(offset: u64) -> Self {
        Self {
            removed: offset,
            ..Self::starting_at(offset)
        }
    }

    /// Nothing again, for a room that goes on from `offset`.
    pub(super) fn restarting_at(&self, offset: u64) -> Self {
        Self {
            removed: self.removed,
            ..Self::starting_at(offset)
        }
    }

    /// Adds the publication that follows the newest one.
    pub(super) fn push(&mut self, publication: Arc<Publication>) {
        self.bytes += publication.data.len();
        self.publications.push_back(publication);
        self.shrink();
    }

    /// Everything after `since` up to `until`; `None` when some of it is not here any more.
    pub(super) fn between(&self, since: u64, until: u64) -> Option<Vec<Arc<Publication>>> {
        if since < self.after || (since == 0 && !self.from_the_start) {
            return None;
        }
        let wanted =
            |publication: &&Arc<Publication>| publication.offset > since && publication.offset <= until;
        Some(self.publications.iter().filter(wanted).cloned().collect())
    }

    /// Takes over what was read from the stream: everything after `since` that it holds, oldest first. Of no use when
    /// it does not reach what is here.
    pub(super) fn prepend(&mut self, since: u64, read: &[Arc<Publication>], read_until: u64) {
        let extends = since < self.after || since == 0 && self.after == 0;
        if !extends || read_until < self.after || since < self.removed {
            return;
        }
        self.from_the_start |= since == 0;
        for publication in read
            .iter()
            .rev()
            .filter(|publication| publication.offset <= self.after)
        {
            self.bytes += publication.data.len();
            self.publications.push_front(publication.clone());
        }
        self.after = since;
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.publications.len() > MAX_PUBLICATIONS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.publications.pop_front() else {
                return;
            };
            self.bytes -= oldest.data.len();
            self.after = oldest.offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(offset: u64) -> Arc<Publication> {
        let mut publication = Publication::new(&b"{}"[..]);
        publication.offset = offset;
        Arc::new(publication)
    }

    fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
        publications
            .iter()
            .map(|publication| publication.offset)
            .collect()
    }

    #[test]
    fn answers_only_what_it_holds_whole() {
        let mut recent = Recent::starting_at(10);
        for offset in [12, 15, 20] {
            recent.push(publication(offset));
        }
        assert_eq!(offsets(&recent.between(10, 20).unwrap()), [12, 15, 20]);
        assert_eq!(offsets(&recent.between(12, 15).unwrap()), [15]);
        assert_eq!(offsets(&recent.between(20, 20).unwrap()), [0; 0]);
        assert!(recent.between(9, 20).is_none());
    }

    #[test]
    fn what_was_read_extends_it_backwards() {
        let mut recent = Recent::starting_at(10);
        recent.push(publication(12));
        let read: Vec<_> = [5, 9, 12].map(publication).into();
        recent.prepend(3, &read, 12);
        assert_eq!(offsets(&recent.between(3, 12).unwrap()), [5, 9, 12]);
        recent.prepend(1, &[publication(2)], 2);
        assert!(
            recent.between(1, 12).is_none(),
            "a read that does not reach it leaves a hole"
        );
    }

    /// The stream answered before the removal, and its answer comes after it.
    #[test]
    fn what_was_removed_does_not_come_back() {
        let mut recent = Recent::removed_until(5);
        let read: Vec<_> = [2, 5].map(publication).into();
        recent.prepend(1, &read, 5);
        assert!(recent.between(1, 5).is_none());
        recent.push(publication(9));
        let mut recent = recent.restarting_at(12);
        recent.prepend(1, &[2, 5, 9, 12].map(publication), 12);
        assert!(recent.between(1, 12).is_none());
        recent.prepend(5, &[9, 12].map(publication), 12);
        assert_eq!(offsets(&recent.between(5, 12).unwrap()), [9, 12]);
    }

    #[test]
    fn the_beginning_is_known_only_from_a_read() {
        let mut recent = Recent::starting_at(0);
        recent.push(publication(7));
        assert!(
            recent.between(0, 7).is_none(),
            "others may have come and gone before it"
        );
        recent.prepend(0, &[publication(7)], 7);
        assert_eq!(offsets(&recent.between(0, 7).unwrap()), [7]);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::starting_at(0);
        recent.prepend(0, &[], 0);
        for offset in 1..=400 {
            recent.push(publication(offset));
        }
        assert!(recent.between(99, 400).is_none());
        assert_eq!(recent.between(100, 400).unwrap().len(), 300);
    }
}
