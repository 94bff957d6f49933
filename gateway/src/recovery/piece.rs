//! What a client missed of a room, and whether a read brings all of it.

use std::{sync::Arc, time::Duration};

use crate::{
    channel::Channel,
    history::{Epoch, HistoryPolicy, Page, Query},
    publication::{Publication, unix_nanos},
};

/// What a client missed.
#[derive(Clone, Debug, PartialEq)]
pub enum Missed {
    /// All of it, oldest first.
    All(Vec<Arc<Publication>>),
    /// More than one recovery may bring, or some of it is gone.
    TooMuch,
}

/// A piece of a durable room's history, up to `until`.
pub struct Piece {
    pub channel: Channel,
    pub policy: Arc<HistoryPolicy>,
    /// In which its offsets count.
    pub epoch: Epoch,
    pub part: Part,
    pub until: u64,
}

/// Which publications; clients that want the same share a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What follows `since`, at most `limit` publications.
    After { since: u64, limit: usize },
    /// The newest one.
    Newest,
}

impl Part {
    /// Everything after this offset is wanted.
    pub fn start(self, until: u64) -> u64 {
        match self {
            Self::After { since, .. } => since,
            Self::Newest => until.saturating_sub(1),
        }
    }

    /// Whether it begins behind `offset`.
    pub fn is_ahead_of(self, offset: u64) -> bool {
        self.start(offset) > offset
    }

    pub(super) fn query(self) -> Query {
        match self {
            Self::After { since, limit } => Query {
                since: Some(since),
                // One more than may be brought tells whether there is more.
                limit: limit + 1,
                reverse: false,
            },
            Self::Newest => Query {
                since: None,
                limit: 1,
                reverse: true,
            },
        }
    }

    /// The offset after which the page has everything; `None` when there is no such.
    pub(super) fn covered(self, page: &Page) -> Option<u64> {
        match self {
            Self::After { since, limit } => {
                let is_whole = page.complete && !page.truncated && page.publications.len() <= limit;
                is_whole.then_some(since)
            }
            Self::Newest => Some(page.publications.first()?.offset - 1),
        }
    }
}

impl Piece {
    /// What publications at hand, which have no hole, make of it; `None` when they do not decide it.
    pub(super) fn of_recent(&self, publications: Vec<Arc<Publication>>) -> Option<Missed> {
        match publications.first() {
            Some(oldest) if self.is_outdated(oldest) => None,
            // Where the newest would be is something else, a removal: only the bus knows.
            None if self.part == Part::Newest => None,
            _ => Some(self.judge(publications, true)),
        }
    }

    /// What a page makes of it; `None` when it ends before the piece does.
    pub(super) fn of_page(&self, page: &Page) -> Option<Missed> {
        if page.head.epoch != self.epoch {
            return Some(Missed::TooMuch);
        }
        let wanted = || {
            let wanted = page
                .publications
                .iter()
                .filter(|publication| publication.offset <= self.until);
            wanted.cloned().collect::<Vec<_>>()
        };
        let Part::After { since, limit } = self.part else {
            let is_empty = page.publications.is_empty();
            let reaches = page.head.offset >= self.until || is_empty;
            return reaches.then(|| self.judge(wanted(), !is_empty));
        };
        // An offset that there never was: the head is the stream's own. A room without messages may be behind the
        // position that it was left at.
        if page.head.offset < since {
            return Some(self.judge(Vec::new(), page.complete));
        }
        let last = page.publications.last().map_or(since, |last| last.offset);
        let is_cut = page.truncated && last < self.until;
        let reaches = page.head.offset >= self.until || !page.complete || is_cut;
        (reaches || page.publications.len() > limit).then(|| self.judge(wanted(), page.complete && !is_cut))
    }

    /// Older than the room keeps it, by the clock of the gateway that accepted it: the bus knows whether it is forgotten.
    fn is_outdated(&self, publication: &Publication) -> bool {
        let age = Duration::from_nanos(unix_nanos().saturating_sub(publication.accepted_at));
        age >= self.policy.options.ttl
    }

    fn judge(&self, publications: Vec<Arc<Publication>>, complete: bool) -> Missed {
        let fits = match self.part {
            Part::After { limit, .. } => publications.len() <= limit,
            Part::Newest => true,
        };
        if complete && fits {
            Missed::All(publications)
        } else {
            Missed::TooMuch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::HistoryOptions, history::Position};

    fn piece(part: Part, until: u64) -> Piece {
        Piece {
            channel: "chat:room".into(),
            policy: Arc::new(HistoryPolicy {
                namespace: "chat".into(),
                options: HistoryOptions::default(),
            }),
            epoch: Epoch::from("e"),
            part,
            until,
        }
    }

    fn publications(offsets: &[u64]) -> Vec<Arc<Publication>> {
        let publication = |&offset: &u64| {
            let mut publication = Publication::new(&b"{}"[..]);
            publication.offset = offset;
            Arc::new(publication)
        };
        offsets.iter().map(publication).collect()
    }

    fn page(offsets: &[u64], head: u64) -> Page {
        Page {
            publications: publications(offsets),
            head: Position {
                epoch: Epoch::from("e"),
                offset: head,
            },
            complete: true,
            truncated: false,
        }
    }

    fn offsets(missed: Option<Missed>) -> Option<Vec<u64>> {
        match missed? {
            Missed::All(all) => Some(all.iter().map(|publication| publication.offset).collect()),
            Missed::TooMuch => Some(vec![u64::MAX]),
        }
    }

    #[test]
    fn a_page_brings_all_or_says_that_it_does_not() {
        let too_much = Some(vec![u64::MAX]);
        let part = Part::After { since: 3, limit: 3 };
        let of = |until, page: &Page| offsets(piece(part, until).of_page(page));
        assert_eq!(of(7, &page(&[5, 7], 7)), Some(vec![5, 7]));
        assert_eq!(
            of(7, &page(&[5, 7, 9], 9)),
            Some(vec![5, 7]),
            "what is newer comes live"
        );
        assert_eq!(of(9, &page(&[5, 7], 7)), None, "a read that began too early");
        assert_eq!(of(9, &page(&[5, 6, 7, 9], 9)), too_much, "above the limit");
        let mut behind = page(&[], 2);
        assert_eq!(of(3, &behind), Some(vec![]), "a room without messages");
        behind.complete = false;
        assert_eq!(of(3, &behind), too_much, "an offset that there never was");
        let mut gone = page(&[7], 7);
        gone.complete = false;
        assert_eq!(of(7, &gone), too_much);
        let mut cut = page(&[5, 7], 9);
        cut.truncated = true;
        assert_eq!(of(9, &cut), too_much);
        assert_eq!(of(7, &cut), Some(vec![5, 7]), "what was cut off is not wanted");
    }

    #[test]
    fn the_newest_is_the_one_before_what_comes_live() {
        let of = |until, page: &Page| offsets(piece(Part::Newest, until).of_page(page));
        assert_eq!(of(7, &page(&[7], 7)), Some(vec![7]));
        assert_eq!(
            of(7, &page(&[9], 9)),
            Some(vec![]),
            "the newer one makes it needless"
        );
        assert_eq!(of(9, &page(&[7], 7)), None);
        assert_eq!(of(7, &page(&[], 0)), Some(vec![u64::MAX]), "nothing is kept");
        let at_hand = piece(Part::Newest, 7);
        assert_eq!(offsets(at_hand.of_recent(publications(&[7]))), Some(vec![7]));
        assert_eq!(at_hand.of_recent(Vec::new()), None);
    }
}
