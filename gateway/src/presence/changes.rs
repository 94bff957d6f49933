//! What is different from what somebody was told last: who came and went in between is in neither.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use uuid::Uuid;

use super::Member;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Joined(Arc<Member>),
    /// Something else is said of a member: others are not told, and know it when they ask.
    Renewed(Arc<Member>),
    Left(Arc<Member>),
}

impl Change {
    pub(super) fn member(&self) -> &Arc<Member> {
        let (Self::Joined(member) | Self::Renewed(member) | Self::Left(member)) = self;
        member
    }

    /// What both together are; `None` when they cancel.
    fn then(self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Joined(_), Self::Left(_)) => None,
            (Self::Joined(_), Self::Renewed(member)) => Some(Self::Joined(member)),
            (Self::Left(former), Self::Joined(member)) => (former != member).then_some(Self::Renewed(member)),
            (Self::Renewed(_), Self::Joined(member)) => Some(Self::Renewed(member)),
            (_, next) => Some(next),
        }
    }
}

/// Each member at most once, in the order of the changes. Bounded by the members that there are and were told.
#[derive(Default)]
pub(super) struct Changes {
    next: u64,
    ordered: BTreeMap<u64, Change>,
    places: HashMap<Uuid, u64>,
}

impl Changes {
    pub(super) fn note(&mut self, change: Change) {
        let client = change.member().client;
        let former = self.places.remove(&client);
        let former = former.and_then(|place| self.ordered.remove(&place));
        let Some(change) = former.map_or(Some(change.clone()), |former| former.then(change)) else {
            return;
        };
        self.places.insert(client, self.next);
        self.ordered.insert(self.next, change);
        self.next += 1;
    }

    pub(super) fn extend(&mut self, changes: impl IntoIterator<Item = Change>) {
        changes.into_iter().for_each(|change| self.note(change));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Each with its place, to be taken out by [`Changes::remove`] once it is told.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Change)> {
        self.ordered.iter().map(|(place, change)| (*place, change))
    }

    /// Takes out everything up to a place.
    pub(super) fn remove(&mut self, until: u64) {
        while let Some(entry) = self.ordered.first_entry()
            && *entry.key() <= until
        {
            self.places.remove(&entry.remove().member().client);
        }
        if self.ordered.is_empty() {
            self.clear();
        }
    }

    pub(super) fn take(&mut self) -> Vec<Change> {
        std::mem::take(self).ordered.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_and_goes_is_not_told() {
        let (ann, bob) = (Member::fixture("ann"), Member::fixture("bob"));
        let mut changes = Changes::default();
        changes.note(Change::Joined(ann.clone()));
        changes.note(Change::Left(bob.clone()));
        changes.note(Change::Left(ann.clone()));
        changes.note(Change::Joined(bob.clone()));
        assert!(changes.is_empty() && changes.places.is_empty());

        changes.note(Change::Joined(ann.clone()));
        assert_eq!(changes.take(), [Change::Joined(ann)]);
    }

    #[test]
    fn who_comes_back_as_somebody_else_is_renewed() {
        let ann = Member::fixture("ann");
        let again = Arc::new(Member {
            chan_info: Some("1".into()),
            ..(*ann).clone()
        });
        let mut changes = Changes::default();
        changes.note(Change::Left(ann));
        changes.note(Change::Joined(again.clone()));
        changes.note(Change::Joined(again.clone()));
        let renewed: Vec<_> = changes.iter().map(|(_, change)| change.clone()).collect();
        assert_eq!(renewed, [Change::Renewed(again.clone())]);
        changes.note(Change::Left(again.clone()));
        assert_eq!(changes.take(), [Change::Left(again.clone())]);

        let newcomer = Change::Joined(again.clone());
        changes.note(newcomer.clone());
        changes.note(Change::Renewed(again));
        assert_eq!(changes.take(), [newcomer], "nobody knew them before");
    }

    #[test]
    fn they_are_taken_out_in_their_order() {
        let members: Vec<_> = (0..5).map(|n| Member::fixture(&n.to_string())).collect();
        let mut changes = Changes::default();
        for member in &members {
            changes.note(Change::Joined(member.clone()));
        }
        let (until, _) = changes.iter().nth(1).unwrap();
        changes.remove(until);
        let left: Vec<_> = changes
            .take()
            .iter()
            .map(|change| change.member().clone())
            .collect();
        assert_eq!(left, members[2..]);
    }
}
