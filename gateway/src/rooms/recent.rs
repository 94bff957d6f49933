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
    publications: VecDeque<Arc<Publication>>,
    bytes: usize,
}

impl Recent {
    /// Nothing yet, for a room whose head is at `offset`.
    pub(super) fn starting_at(offset: u64) -> Self {
        Self {
            after: offset,
            from_the_start: false,
            publications: VecDeque::new(),
            bytes: 0,
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
        if since > self.after || read_until < self.after || (since == self.after && since > 0) {
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
