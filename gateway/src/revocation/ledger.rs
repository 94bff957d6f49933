//! What a gateway knows of the store: the last change of every key, and when the store has taken it.
//!
//! By that it finds what the store has lost and this gateway still knows: a change that the store does not have, nor a later one of
//! the same key. A store that counts on gives higher numbers to later changes. One that has lost its end gives the
//! numbers again, and one that was made anew begins with 1: then times say which is later.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{order::END_KEPT, rule::Revocation};
use crate::{
    bus::{Changes, Kept, Stamp},
    clock::since_epoch,
};

/// Any one that is still there proves what came before it; several, as a change is soon superseded where one key changes much.
const PROOFS: usize = 4;
/// Ends that are remembered: the newest. They are not bounded by `revocation.max_rules`.
const MAX_ENDS: usize = 65_536;
/// What clocks may differ by.
const SKEW: u64 = 60;
/// Less than the store keeps the end of a rule.
const END_REMEMBERED: Duration = Duration::from_hours(23);
const _: () = assert!(END_REMEMBERED.as_secs() < END_KEPT.as_secs());
const NANOSECONDS: u64 = 1_000_000_000;

#[derive(Default)]
pub(super) struct Ledger {
    entries: HashMap<Arc<str>, Entry>,
    /// The same by number.
    order: BTreeSet<(u64, Arc<str>)>,
    /// What the store does not have any more, with the key's last change that it has; 0: none.
    lost: HashMap<Arc<str>, u64>,
}

struct Entry {
    sequence: u64,
    /// When the store has taken it, in nanoseconds of Unix time; as long as it was only told, when that was.
    time: u64,
    /// From this Unix time on the store may have forgotten it.
    ends_at: u64,
    is_end: bool,
    /// The store has given it.
    was_read: bool,
}

/// Something that the store has lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) key: Arc<str>,
    pub(super) is_end: bool,
    /// The key's last change in the store; 0: it has none.
    pub(super) instead: u64,
}

impl Ledger {
    /// Takes what was read of the store, which `is_same` as before; gives what is to be gone by now. Whatever is known beyond what
    /// the store has in common with it must have been read again, or is lost.
    pub(super) fn read(&mut self, changes: &Changes, is_same: bool) -> Vec<Kept> {
        let by_key = changes.by_key();
        let beyond = self
            .order
            .range((changes.since.unwrap_or(0) + 1, Arc::from(""))..);
        let beyond = beyond.map(|(_, key)| key.clone());
        for key in beyond.collect::<Vec<_>>() {
            match by_key.get(&*key) {
                Some(kept) if self.is_later(&key, kept, is_same) => self.lose(&key, kept.sequence),
                Some(_) => {}
                None if changes.since.is_none() => self.lose(&key, 0),
                // What the key had before may be there, and is not read this time.
                None => self.miss(&key),
            }
        }
        let newest = by_key.into_values();
        let mut current: Vec<_> = newest
            .filter(|kept| !self.is_later(&kept.key, kept, is_same))
            .cloned()
            .collect();
        current.sort_by_key(|kept| kept.sequence);
        for kept in &current {
            self.note(kept, true);
        }
        current
    }

    /// Takes what was told.
    pub(super) fn hear(&mut self, kept: &Kept) {
        self.note(kept, false);
    }

    /// Whether what is known of the key was said after this.
    fn is_later(&self, key: &str, kept: &Kept, is_same: bool) -> bool {
        let known = self.entries.get(key);
        known.is_some_and(|known| known.time > kept.time && !(is_same && known.sequence <= kept.sequence))
    }

    fn note(&mut self, kept: &Kept, was_read: bool) {
        self.forget(&kept.key);
        let now = u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let time = if was_read { kept.time } else { now };
        let is_end = kept.value.is_empty();
        let ends_at = if is_end {
            time / NANOSECONDS + END_REMEMBERED.as_secs()
        } else {
            // Nothing is expected of what cannot be read.
            Revocation::decode(&kept.value).map_or(0, |revocation| revocation.expire_at)
        };
        let key: Arc<str> = kept.key.as_str().into();
        self.order.insert((kept.sequence, key.clone()));
        let entry = Entry {
            sequence: kept.sequence,
            time,
            ends_at,
            is_end,
            was_read,
        };
        self.entries.insert(key, entry);
    }

    fn lose(&mut self, key: &str, instead: u64) {
        if instead == 0 && self.is_end(key) {
            // There is nothing that it would end.
            self.forget(key);
        } else {
            self.lost.insert(key.into(), instead);
        }
    }

    /// The last change of the key is not there; what is instead, a look at everything finds out.
    fn miss(&mut self, key: &str) {
        self.lost.entry(key.into()).or_insert(0);
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.lost.remove(key);
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.order.remove(&(entry.sequence, key));
        }
    }

    /// Forgets all that the store does not have, and is not known as lost; gives their keys.
    pub(super) fn retain(&mut self, changes: &Changes) -> Vec<Arc<str>> {
        let by_key = changes.by_key();
        let is_there = |key: &str| by_key.contains_key(key) || self.lost.contains_key(key);
        let gone = self.entries.keys().filter(|key| !is_there(key));
        let gone: Vec<_> = gone.cloned().collect();
        for key in &gone {
            self.forget(key);
        }
        gone
    }

    /// Whether the store has given numbers up to `known` again: it holds a rule by one of them that is not known.
    pub(super) fn is_contradicted(&self, changes: &Changes, known: u64, now: u64) -> bool {
        let is_new = |kept: &Kept| {
            let entry = self.entries.get(&*kept.key);
            !entry.is_some_and(|entry| entry.sequence == kept.sequence && entry.time == kept.time)
        };
        let is_rule = |kept: &Kept| Revocation::decode(&kept.value).is_ok_and(|rule| !rule.is_over(now));
        let mut before = changes.kept.iter().filter(|kept| kept.sequence <= known);
        changes.mark.sequence < known || before.any(|kept| is_new(kept) && is_rule(kept))
    }

    /// Number of the key's last change.
    pub(super) fn sequence(&self, key: &str) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.sequence)
    }

    /// Whether the store has given a later change of the same key.
    pub(super) fn has_later(&self, kept: &Kept) -> bool {
        let entry = self.entries.get(&*kept.key);
        entry.is_some_and(|entry| entry.was_read && entry.sequence > kept.sequence)
    }

    /// The newest changes that the store has given, up to a number.
    pub(super) fn proofs(&self, until: u64) -> Vec<Stamp> {
        let known = self.order.range(..(until.saturating_add(1), Arc::from("")));
        let stamps = known.rev().filter_map(|(sequence, key)| {
            let entry = self.entries.get(key)?;
            let is_there = entry.was_read && !self.lost.contains_key(key);
            is_there.then_some(Stamp {
                sequence: *sequence,
                time: entry.time,
            })
        });
        stamps.take(PROOFS).collect()
    }

    /// Whether the store had fewer keys than it must have.
    pub(super) fn exceeds(&self, changes: &Changes, now: u64) -> bool {
        let must_be_there = |(key, entry): &(&Arc<str>, &Entry)| {
            let was_there = entry.sequence <= changes.mark.sequence;
            was_there && entry.ends_at > now + SKEW && !self.lost.contains_key(*key)
        };
        let exceeds = |known: usize| known as u64 > changes.total;
        // Most times it is enough to count them all.
        exceeds(self.entries.len()) && exceeds(self.entries.iter().filter(must_be_there).count())
    }

    pub(super) fn count_lost(&self) -> usize {
        self.lost.len()
    }

    pub(super) fn lost(&self) -> Vec<Lost> {
        let lost = self.lost.iter().map(|(key, instead)| Lost {
            key: key.clone(),
            is_end: self.is_end(key),
            instead: *instead,
        });
        lost.collect()
    }

    /// Forgets what is over, and ends that are too many.
    pub(super) fn sweep(&mut self, now: u64) {
        let over = self.entries.iter().filter(|(_, entry)| entry.ends_at <= now);
        for key in over.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.forget(&key);
        }
        let ends = self.order.iter().filter(|(_, key)| self.is_end(key));
        let ends: Vec<_> = ends.map(|(_, key)| key.clone()).collect();
        for key in &ends[..ends.len().saturating_sub(MAX_ENDS)] {
            self.forget(key);
        }
    }

    fn is_end(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.is_end)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{bus::Mark, clock::unix_now, revocation::Rule};

    fn rule(user: &str) -> Bytes {
        let revocation = Revocation {
            rule: Rule::User { user: user.into() },
            created_at: 0,
            expire_at: unix_now() + 3_600,
        };
        revocation.encode()
    }

    fn kept(key: &str, (sequence, time): (u64, u64), value: Bytes) -> Kept {
        Kept {
            sequence,
            time: time * NANOSECONDS,
            key: key.to_owned(),
            value,
        }
    }

    fn changes(since: Option<u64>, kept: Vec<Kept>) -> Changes {
        Changes {
            mark: Mark {
                epoch: "store".into(),
                sequence: kept.last().map_or(0, |kept| kept.sequence),
                proofs: Vec::new(),
            },
            since,
            total: kept.len() as u64,
            kept,
        }
    }

    fn lost(ledger: &Ledger) -> Vec<(String, u64)> {
        let mut lost: Vec<_> = ledger
            .lost()
            .into_iter()
            .map(|lost| (lost.key.as_ref().to_owned(), lost.instead))
            .collect();
        lost.sort();
        lost
    }

    /// `a` and `b` are rules since 1 and 2, `c` is no rule any more since 3.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let all = vec![
            kept("a", (1, 10), rule("a")),
            kept("b", (2, 20), rule("b")),
            kept("c", (3, unix_now()), Bytes::new()),
        ];
        assert_eq!(ledger.read(&changes(None, all), false).len(), 3);
        ledger
    }

    #[test]
    fn what_the_store_holds_of_before_is_lost_and_what_it_was_told_since_is_not() {
        let mut ledger = ledger();
        let before = kept("b", (1, 15), rule("b before"));
        let rule_again = kept("c", (2, 16), rule("c"));
        let since = kept("a", (3, 40), rule("a changed"));
        let current = ledger.read(&changes(None, vec![before, rule_again, since.clone()]), true);
        assert_eq!(current, [since]);
        assert_eq!(lost(&ledger), [("b".into(), 1), ("c".into(), 2)]);
        assert_eq!(ledger.sequence("b"), Some(2));
        // Until it is read there.
        let again = vec![
            kept("b", (4, 50), rule("b")),
            kept("c", (5, 50 + unix_now()), Bytes::new()),
        ];
        assert_eq!(ledger.read(&changes(Some(3), again), true).len(), 2);
        assert_eq!(lost(&ledger), []);
    }

    #[test]
    fn an_end_that_is_lost_with_its_rule_is_left() {
        let mut ledger = ledger();
        ledger.read(&changes(None, Vec::new()), false);
        assert_eq!(lost(&ledger), [("a".into(), 0), ("b".into(), 0)]);
    }

    /// What is read from a proof on does not tell what came before it.
    #[test]
    fn an_end_that_is_lost_is_not_forgotten_while_its_rule_may_be_there() {
        let mut ledger = Ledger::default();
        let rules = [kept("a", (1, 10), rule("a")), kept("b", (2, 20), rule("b"))];
        let end = kept("a", (3, unix_now()), Bytes::new());
        let all = [&rules[..], &[end]].concat();
        ledger.read(&changes(None, all), false);
        for _ in 0..2 {
            assert_eq!(ledger.read(&changes(Some(2), Vec::new()), true), []);
            assert_eq!(lost(&ledger), [("a".into(), 0)]);
        }
        let whole = changes(None, rules.to_vec());
        assert_eq!(
            ledger.read(&whole, true),
            [rules[1].clone()],
            "a is no rule again"
        );
        assert_eq!(lost(&ledger), [("a".into(), 1)]);
        // What is known of it stays while the store is asked for what is new.
        ledger.read(&changes(Some(2), Vec::new()), true);
        assert_eq!(lost(&ledger), [("a".into(), 1)]);
    }

    /// What was told has no time of the store: clocks that differ make no change of the same store an older one.
    #[test]
    fn a_higher_number_of_the_same_store_is_later_whatever_the_clocks_say() {
        let mut ledger = ledger();
        ledger.hear(&kept("d", (4, 0), rule("d")));
        let later = kept("d", (5, 1), Bytes::new());
        assert_eq!(ledger.read(&changes(Some(3), vec![later.clone()]), true), [later]);
        assert_eq!(lost(&ledger), []);
    }

    #[test]
    fn what_was_told_and_is_not_there_is_lost_and_proves_nothing() {
        let mut ledger = ledger();
        ledger.hear(&kept("d", (4, 0), rule("d")));
        let proofs: Vec<_> = ledger.proofs(9).iter().map(|proof| proof.sequence).collect();
        assert_eq!(proofs, [3, 2, 1]);
        ledger.read(&changes(Some(3), Vec::new()), true);
        assert_eq!(lost(&ledger), [("d".into(), 0)]);
    }

    #[test]
    fn a_store_with_fewer_keys_than_rules_that_go_on_has_lost_some() {
        let ledger = ledger();
        let now = unix_now();
        let mut known = changes(Some(3), vec![kept("c", (3, 30), Bytes::new())]);
        for (total, at, exceeds) in [
            (3, now, false),
            (2, now, true),
            // Two of them end soon, and clocks may differ.
            (1, now + 3_600 - SKEW, false),
            (0, now + 3_600 - SKEW, true),
        ] {
            known.total = total;
            assert_eq!(ledger.exceeds(&known, at), exceeds, "{total}");
        }
    }

    #[test]
    fn ends_are_remembered_in_bounds_and_nothing_for_ever() {
        let mut ledger = ledger();
        let now = unix_now();
        let ends = (0..MAX_ENDS as u64).map(|number| {
            let end = (number + 4, now);
            kept(&format!("end{number}"), end, Bytes::new())
        });
        ledger.read(&changes(Some(3), ends.collect()), true);
        ledger.sweep(now);
        assert_eq!(ledger.sequence("c"), None, "the oldest end");
        assert_eq!(ledger.entries.len(), MAX_ENDS + 2);
        ledger.sweep(now + END_KEPT.as_secs());
        assert!(ledger.entries.is_empty() && ledger.order.is_empty());
    }
}
