//! What another gateway said about its members of a room.
//!
//! Its words are counted. When one is missing, or something else does not fit, it is asked for a digest; what it says
//! meanwhile waits behind that. Whoever is told of members here is told of the difference that a digest makes, so a
//! word that was lost delays what is told and changes nothing of it.

use std::{collections::HashMap, mem, sync::Arc};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Member,
    changes::{Change, Changes},
    roster::count_users,
    word::{Digest, Place, Said, Word},
};

/// Words that wait for a digest; with more than that another digest is asked for.
const MAX_WAITING: usize = 256;

type Members = HashMap<Uuid, Arc<Member>>;

pub(super) struct Other {
    place: Place,
    clients: u32,
    /// Users among its members, when it does not say who they are.
    users: u32,
    /// `None`: only their number is known.
    members: Option<Members>,
    /// It has too many for it to say who they are.
    counts: bool,
    /// When it said something last.
    heard: Instant,
    asked: Option<Box<Asked>>,
}

/// A digest was asked for.
struct Asked {
    at: Instant,
    /// The digest as far as it has come, and how many pages that is.
    come: Option<(Digest, u32)>,
    /// What was said meanwhile.
    waiting: Vec<Word>,
    has_dropped: bool,
}

/// Whether it has to be asked for a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fit {
    Fits,
    Asks,
}

impl Other {
    /// Nothing is known yet. With `anew` its members are new to everybody here; otherwise they were there before.
    pub(super) fn new(anew: bool) -> Self {
        Self {
            place: Place::default(),
            clients: 0,
            users: 0,
            members: anew.then(HashMap::new),
            counts: false,
            heard: Instant::now(),
            asked: None,
        }
    }

    pub(super) fn clients(&self) -> u32 {
        self.clients
    }

    pub(super) fn users(&self) -> u32 {
        self.users
    }

    /// `None` when only their number is known.
    pub(super) fn members(&self) -> Option<&Members> {
        self.members.as_ref()
    }

    /// Whether it has said numbers last, not who its members are.
    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    /// It is small enough to say who its members are, and is asked.
    pub(super) fn expect_list(&mut self) {
        self.counts = false;
    }

    /// Whether it has nobody in the room, as far as is known.
    pub(super) fn is_gone(&self) -> bool {
        // Of a leave that takes several words the first has no members to count any more.
        let has_members = self.members.as_ref().is_some_and(|members| !members.is_empty());
        self.clients == 0 && !has_members && self.asked.is_none()
    }

    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// When it was asked for a digest that has not come yet.
    pub(super) fn asked_at(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.at)
    }

    /// Notes that it is asked for a digest.
    pub(super) fn ask(&mut self, now: Instant) {
        match &mut self.asked {
            Some(asked) => asked.at = now,
            None => {
                self.asked = Some(Box::new(Asked {
                    at: now,
                    come: None,
                    waiting: Vec::new(),
                    has_dropped: false,
                }));
            }
        }
    }

    /// Only the number counts from now on.
    pub(super) fn forget_members(&mut self) {
        if let Some(members) = self.members.take() {
            self.users = count_users(members.values());
        }
        self.asked = None;
    }

    /// All of its members are gone.
    pub(super) fn leave(&mut self, told: &mut Changes) {
        for (_, member) in self.members.iter_mut().flat_map(HashMap::drain) {
            told.note(Change::Left(member));
        }
        self.clients = 0;
    }

    /// Takes a word; `lists` says whether it matters who the members are.
    pub(super) fn hear(&mut self, word: Word, lists: bool, told: &mut Changes) -> Fit {
        self.heard = Instant::now();
        if !lists {
            self.count(&word);
            return Fit::Fits;
        }
        let asks = self.asked.is_none() && self.is_hole(&word);
        if asks {
            self.ask(self.heard);
        }
        match &mut self.asked {
            Some(asked) => asked.keep(word),
            None => return self.apply(word, told),
        }
        if asks { Fit::Asks } else { Fit::Fits }
    }

    /// Whether something was said before it that was not heard.
    fn is_hole(&self, word: &Word) -> bool {
        let Place { life, seq } = self.place;
        let expected = if word.place.life == life { seq + 1 } else { 1 };
        word.place > self.place && word.place.seq != expected
    }

    fn count(&mut self, word: &Word) {
        if word.place >= self.place {
            self.place = word.place;
            self.clients = word.clients;
            self.forget_members();
            self.counts = false;
            if let Said::Counts { users } = word.said {
                (self.users, self.counts) = (users, true);
            }
        }
    }

    fn apply(&mut self, word: Word, told: &mut Changes) -> Fit {
        let Word { place, clients, .. } = word;
        if place < self.place {
            return Fit::Fits;
        }
        if place == self.place {
            return self.compare(&word);
        }
        if place.life != self.place.life {
            self.leave(told);
        }
        (self.place, self.clients) = (place, clients);
        match (word.said, &mut self.members) {
            (Said::Counts { users }, _) => {
                (self.users, self.members, self.counts) = (users, None, true);
                Fit::Fits
            }
            (Said::Changed { joined, left }, Some(members)) => {
                for client in left {
                    told.extend(members.remove(&client).map(Change::Left));
                }
                for member in joined {
                    put(members, Arc::new(member), told);
                }
                Fit::Fits
            }
            (Said::Changed { .. }, None) | (Said::Beat, _) => Fit::Asks,
        }
    }

    /// A word without a change.
    fn compare(&mut self, word: &Word) -> Fit {
        let is_whole = |members: &Members| members.len() == word.clients as usize;
        match word.said {
            Said::Counts { users } => {
                (self.clients, self.users) = (word.clients, users);
                (self.members, self.counts) = (None, true);
                Fit::Fits
            }
            Said::Beat if !self.members.as_ref().is_some_and(is_whole) => Fit::Asks,
            Said::Beat | Said::Changed { .. } => Fit::Fits,
        }
    }

    /// Takes a page of a digest, and when it is the last one everything that waited for it.
    pub(super) fn digest(&mut self, page: Digest, lists: bool, told: &mut Changes) -> Fit {
        self.heard = Instant::now();
        let Some(asked) = &mut self.asked else {
            return Fit::Fits;
        };
        let Some(digest) = asked.gather(page) else {
            return Fit::Fits;
        };
        let (waiting, has_dropped) = (mem::take(&mut asked.waiting), asked.has_dropped);
        self.asked = None;
        if digest.place.is_some_and(|place| place < self.place) {
            return Fit::Asks;
        }
        let were_unknown = self.members.is_none();
        self.become_as(digest, lists, told);
        for word in waiting {
            if were_unknown && word.place <= self.place {
                self.tell_joined(&word, told);
            }
            if self.is_hole(&word) || self.apply(word, told) == Fit::Asks {
                return Fit::Asks;
            }
        }
        if has_dropped { Fit::Asks } else { Fit::Fits }
    }

    /// Of members that the digest has brought silently those are new that a word has named since.
    fn tell_joined(&self, word: &Word, told: &mut Changes) {
        let (Said::Changed { joined, .. }, Some(members)) = (&word.said, &self.members) else {
            return;
        };
        let joined = joined.iter().filter_map(|member| members.get(&member.client));
        told.extend(joined.cloned().map(Change::Joined));
    }

    fn become_as(&mut self, digest: Digest, lists: bool, told: &mut Changes) {
        (self.clients, self.users) = (digest.clients, digest.users);
        self.place = digest.place.unwrap_or(self.place);
        self.counts = !digest.lists;
        if !lists || !digest.lists {
            self.members = None;
            return;
        }
        let now = digest
            .members
            .into_iter()
            .map(|member| (member.client, Arc::new(member)));
        let Some(members) = &mut self.members else {
            self.members = Some(now.collect());
            return;
        };
        let mut former = mem::take(members);
        for (client, member) in now {
            if let Some(known) = former.remove(&client) {
                members.insert(client, known);
            }
            put(members, member, told);
        }
        for (_, member) in former {
            told.note(Change::Left(member));
        }
    }
}

fn put(members: &mut Members, member: Arc<Member>, told: &mut Changes) {
    match members.insert(member.client, member.clone()) {
        None => told.note(Change::Joined(member)),
        Some(former) if former != member => told.note(Change::Renewed(member)),
        Some(_) => {}
    }
}

impl Asked {
    fn keep(&mut self, word: Word) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(word);
        } else {
            self.has_dropped = true;
        }
    }

    /// The whole digest, once its last page has come. Pages of one digest are of one place; a later one replaces it.
    fn gather(&mut self, page: Digest) -> Option<Digest> {
        let fits = |come: &Digest| come.place == page.place && come.pages == page.pages;
        match &mut self.come {
            Some((come, pages)) if fits(come) && page.page == *pages => {
                come.members.extend(page.members);
                *pages += 1;
            }
            // A digest that was asked for twice comes twice.
            Some((come, _)) if fits(come) => {}
            _ if page.page == 0 => self.come = Some((page, 1)),
            _ => {}
        }
        let is_whole = |(come, pages): &mut (Digest, u32)| *pages >= come.pages;
        self.come.take_if(is_whole).map(|(come, _)| come)
    }
}

#[cfg(test)]
mod tests;
