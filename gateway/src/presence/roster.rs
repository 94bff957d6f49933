//! Who is in one room, as far as a gateway with members there knows: its own members, and what the others said of theirs.
//!
//! Without a bus or a clock of its own beyond intervals: what is to be sent is asked for ([`Roster::next_word`]) and noted
//! as sent ([`Roster::said`]), so what the bus does not take stays to be said.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use natter_protocol::PresenceStats;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Member, PresenceError, Told,
    changes::{Change, Changes},
    member::pages,
    other::{Fit, Other},
    word::{Digest, Place, Said, Word},
};
use crate::channel::Channel;

/// So long after the first word of a gateway in a room the others have answered it, or would answer no question.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// So long after it a gateway that was not heard of was not there before.
const FAMILIAR_AFTER: Duration = Duration::from_secs(10);
/// From a word to the first beat; each pause is twice the one before, up to the longest.
const FIRST_BEAT: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Silence of a gateway after which it is asked: some beats were lost.
const SILENCE: Duration = Duration::from_secs(150);
/// For a digest to come, before it is asked for again.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two counts of a room too large to be listed.
const COUNT_PAUSE: Duration = Duration::from_secs(1);
/// Members that readers of one room are given in a second, or that are counted for them; a number that is known counts as
/// one. Takes some 30 ms of a core.
pub const READS: usize = 200_000;

/// What a namespace wants of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Members from which on only their number counts.
    pub(super) limit: usize,
    /// Whether members are told of each other.
    pub(super) tells: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(super) struct Roster {
    policy: Policy,
    place: Place,
    own: HashMap<Uuid, Arc<Member>>,
    others: HashMap<Uuid, Other>,
    /// Changes of the own members that the others were not told yet.
    unsaid: Changes,
    /// Changes that the own members were not told yet.
    untold: Changes,
    /// The room is not too large for it to matter who is in it.
    lists: bool,
    /// The others have to be told the number of own members.
    recounts: bool,
    /// The next word asks for digests.
    asks: bool,
    /// When a word has asked first.
    asked_at: Option<Instant>,
    said_at: Instant,
    pause: Duration,
    /// What the workers are being told now.
    telling: Weak<Told>,
    /// Users among all members, once counted.
    users: Option<u32>,
    /// In the second that began then, so many members were read.
    read: (Instant, usize),
    /// Whether it is in the list of those that have something to say.
    pub(super) is_due: bool,
}

/// What the workers are to be told.
pub(super) enum Telling {
    Nothing,
    /// They are still at what they were told last.
    Later,
    Now(Arc<Told>),
}

impl Roster {
    pub(super) fn new(policy: Policy, life: u64) -> Self {
        let now = Instant::now();
        Self {
            policy,
            place: Place { life, seq: 0 },
            own: HashMap::new(),
            others: HashMap::new(),
            unsaid: Changes::default(),
            untold: Changes::default(),
            lists: true,
            recounts: false,
            asks: true,
            asked_at: None,
            said_at: now,
            pause: FIRST_BEAT,
            telling: Weak::new(),
            users: None,
            read: (now, 0),
            is_due: false,
        }
    }

    /// A member that is there already is one of whom something else is said.
    pub(super) fn join(&mut self, member: Arc<Member>, policy: Policy) {
        self.policy = policy;
        match self.own.insert(member.client, member.clone()) {
            None => self.own_change(Change::Joined(member)),
            Some(former) if former != member => self.own_change(Change::Renewed(member)),
            Some(_) => {}
        }
    }

    /// Whether the namespace has been changed.
    pub(super) fn follow(&mut self, policy: Policy) -> bool {
        let is_new = self.policy != policy;
        if is_new {
            self.policy = policy;
            self.changed();
        }
        is_new
    }

    pub(super) fn leave(&mut self, client: Uuid) {
        if let Some(member) = self.own.remove(&client) {
            self.own_change(Change::Left(member));
        }
    }

    fn own_change(&mut self, change: Change) {
        if self.lists {
            if self.policy.tells {
                self.untold.note(change.clone());
            }
            self.unsaid.note(change);
        } else if !matches!(change, Change::Renewed(_)) {
            self.recounts = true;
        }
        self.changed();
    }

    /// All who are in the room.
    fn clients(&self) -> usize {
        let others = self.others.values().map(|other| other.clients() as usize);
        self.own.len() + others.sum::<usize>()
    }

    /// A room that is too large is listed again when it is a quarter below its limit; until then also by gateways that came
    /// later, or they would ask for lists that nobody makes.
    fn changed(&mut self) {
        self.users = None;
        self.others.retain(|_, other| !other.is_gone());
        if !self.policy.tells {
            self.untold.clear();
        }
        let (clients, limit) = (self.clients(), self.policy.limit);
        let (is_large, is_small) = (clients > limit, clients <= limit - limit / 4);
        let is_counted = || !is_small && self.others.values().any(Other::counts);
        if self.lists && (is_large || is_counted()) {
            self.lists = false;
            self.recounts = true;
            self.unsaid.clear();
            self.untold.clear();
            self.others.values_mut().for_each(Other::forget_members);
        } else if !self.lists && is_small {
            self.lists = true;
            self.others.values_mut().for_each(Other::expect_list);
        }
    }

    /// What is to be said next, and up to which change; both go to [`Roster::said`].
    pub(super) fn next_word(&self, page_size: usize) -> Option<(Word, Option<u64>)> {
        // Whoever was told who is here must hear first that this counts no more.
        if self.recounts {
            let is_soon = self.place.seq > 0 && self.said_at.elapsed() < COUNT_PAUSE;
            let word = || {
                let users = count_users(self.own.values());
                (self.word(Said::Counts { users }, true), None)
            };
            return (!is_soon || self.own.is_empty()).then(word);
        }
        let Some((said, until)) = self.changes(page_size) else {
            return (self.asks && !self.own.is_empty()).then(|| (self.beat(), None));
        };
        Some((self.word(said, true), Some(until)))
    }

    /// As many of the changes as one message carries, and which is the last.
    fn changes(&self, page_size: usize) -> Option<(Said, u64)> {
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        let (mut size, mut until) = (0, None);
        for (place, change) in self.unsaid.iter() {
            size += change.member().size();
            if size > page_size && until.is_some() {
                break;
            }
            until = Some(place);
            match change {
                Change::Joined(member) | Change::Renewed(member) => joined.push((**member).clone()),
                Change::Left(member) => left.push(member.client),
            }
        }
        Some((Said::Changed { joined, left }, until?))
    }

    /// Whether something waits to be said.
    pub(super) fn has_word(&self) -> bool {
        self.recounts || !self.unsaid.is_empty()
    }

    pub(super) fn beat(&self) -> Word {
        if self.lists {
            return self.word(Said::Beat, false);
        }
        let users = count_users(self.own.values());
        self.word(Said::Counts { users }, false)
    }

    fn word(&self, said: Said, is_next: bool) -> Word {
        Word {
            place: Place {
                seq: self.place.seq + u64::from(is_next),
                ..self.place
            },
            clients: saturated(self.own.len()),
            said,
            asks: self.asks,
        }
    }

    /// The bus has taken the word.
    pub(super) fn said(&mut self, word: &Word, until: Option<u64>) {
        let now = Instant::now();
        if word.place == self.place {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        } else {
            self.place = word.place;
            self.pause = FIRST_BEAT;
        }
        self.said_at = now;
        if word.asks {
            self.asks = false;
            self.asked_at.get_or_insert(now);
        }
        if let Some(until) = until {
            self.unsaid.remove(until);
        }
        if matches!(word.said, Said::Counts { .. }) {
            self.recounts = false;
        }
    }

    /// Nobody is here any more, and the others know.
    pub(super) fn is_over(&self) -> bool {
        self.own.is_empty() && (self.place.seq == 0 || !self.has_word())
    }

    pub(super) fn tell(&mut self, channel: &Channel) -> Telling {
        if self.untold.is_empty() || self.own.is_empty() {
            return Telling::Nothing;
        }
        if self.telling.strong_count() > 0 {
            return Telling::Later;
        }
        let mut changes = self.untold.take();
        changes.retain(|change| !matches!(change, Change::Renewed(_)));
        if changes.is_empty() {
            return Telling::Nothing;
        }
        let told = Arc::new(Told::new(channel.clone(), changes));
        self.telling = Arc::downgrade(&told);
        Telling::Now(told)
    }

    /// Takes a word of another gateway; says whether that is to be asked for a digest.
    pub(super) fn hear(&mut self, from: Uuid, word: Word) -> bool {
        // Who was there before the own members came is not new to them.
        let anew = self.has_asked(FAMILIAR_AFTER) || word.place.seq == 1;
        let other = self.others.entry(from).or_insert_with(|| Other::new(anew));
        let fit = other.hear(word, self.lists, &mut self.untold);
        self.heard(from, fit)
    }

    /// Takes a page of a digest; as [`Roster::hear`].
    pub(super) fn digest(&mut self, from: Uuid, page: Digest) -> bool {
        if !self.others.contains_key(&from) {
            if page.clients == 0 {
                return false;
            }
            let mut other = Other::new(self.has_asked(FAMILIAR_AFTER));
            other.ask(Instant::now());
            self.others.insert(from, other);
        }
        let Some(other) = self.others.get_mut(&from) else {
            return false;
        };
        let fit = other.digest(page, self.lists, &mut self.untold);
        self.heard(from, fit)
    }

    fn heard(&mut self, from: Uuid, fit: Fit) -> bool {
        let asks = fit == Fit::Asks;
        if asks && let Some(other) = self.others.get_mut(&from) {
            other.ask(Instant::now());
        }
        self.changed();
        asks
    }

    /// The gateway is gone, and its members with it.
    pub(super) fn forget(&mut self, node: Uuid) -> usize {
        let Some(mut other) = self.others.remove(&node) else {
            return 0;
        };
        let clients = other.clients();
        other.leave(&mut self.untold);
        self.changed();
        clients as usize
    }

    /// What was heard of the others may not be all: everybody is asked.
    pub(super) fn ask_all(&mut self) {
        self.asks = true;
        let now = Instant::now();
        for other in self.others.values_mut().filter(|_| self.lists) {
            other.ask(now);
        }
    }

    /// Gateways to be asked for digests.
    pub(super) fn ask_again(&mut self) -> Vec<Uuid> {
        // The next word asks everybody.
        if self.asks {
            return Vec::new();
        }
        let (now, lists) = (Instant::now(), self.lists);
        let is_due = |other: &Other| match other.asked_at() {
            Some(at) => now - at >= DIGEST_TIMEOUT,
            None => (lists && other.members().is_none()) || now - other.heard() >= SILENCE,
        };
        let due = self.others.iter_mut().filter(|(_, other)| is_due(other));
        due.map(|(node, other)| {
            other.ask(now);
            *node
        })
        .collect()
    }

    /// Whether the others should hear that nothing has changed.
    pub(super) fn is_beat_due(&self) -> bool {
        self.place.seq > 0 && !self.has_word() && self.said_at.elapsed() >= self.pause
    }

    fn has_asked(&self, ago: Duration) -> bool {
        self.asked_at.is_some_and(|at| at.elapsed() >= ago)
    }

    /// Whether all is known that was said: nobody is being asked or has to be.
    pub(super) fn is_whole(&self) -> bool {
        let is_known =
            |other: &Other| other.asked_at().is_none() && (!self.lists || other.members().is_some());
        !self.asks && self.has_asked(SETTLED_AFTER) && self.others.values().all(is_known)
    }

    pub(super) fn own(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.own.values()
    }

    /// How many members are known: own ones, and those of others.
    pub(super) fn known(&self) -> (usize, usize) {
        let others = self.others.values().filter_map(Other::members);
        (self.own.len(), others.map(HashMap::len).sum())
    }

    pub(super) fn members(&mut self) -> Result<Vec<Arc<Member>>, PresenceError> {
        let clients = self.clients();
        if !self.lists {
            return Err(PresenceError::TooLarge);
        }
        self.spend(clients)?;
        let others = self.others.values().filter_map(Other::members);
        let others = others.flat_map(HashMap::values);
        Ok(self.own.values().chain(others).cloned().collect())
    }

    pub(super) fn stats(&mut self) -> Result<PresenceStats, PresenceError> {
        let (own, known) = self.known();
        self.spend(if self.users.is_some() { 1 } else { own + known })?;
        let num_users = *self.users.get_or_insert_with(|| {
            let others = self.others.values().filter_map(Other::members);
            let listed = self.own.values().chain(others.flat_map(HashMap::values));
            let counted = self.others.values().filter(|other| other.members().is_none());
            count_users(listed) + counted.map(Other::users).sum::<u32>()
        });
        Ok(PresenceStats {
            num_clients: saturated(self.clients()),
            num_users,
        })
    }

    /// Whatever is read, a room takes no more than its share of a core.
    fn spend(&mut self, members: usize) -> Result<(), PresenceError> {
        let (began, read) = &mut self.read;
        if began.elapsed() >= Duration::from_secs(1) {
            (*began, *read) = (Instant::now(), 0);
        }
        if *read >= READS {
            return Err(PresenceError::Busy);
        }
        *read += members;
        Ok(())
    }

    /// The own members as the others were told of them, in parts that the bus carries: what was not said yet follows.
    pub(super) fn digests(&self, channel: &str, page_size: usize) -> Vec<Digest> {
        let (mut unknown, mut left) = (HashSet::new(), Vec::new());
        for (_, change) in self.unsaid.iter() {
            match change {
                Change::Joined(member) => drop(unknown.insert(member.client)),
                Change::Left(member) => left.push(member),
                Change::Renewed(_) => {}
            }
        }
        let said = self
            .own
            .values()
            .filter(|member| !unknown.contains(&member.client));
        let clients = self.own.len() - unknown.len() + left.len();
        let lists = self.lists && clients <= self.policy.limit;
        let pages = pages(said.chain(left).filter(|_| lists), page_size);
        let count = saturated(pages.len());
        // Also where it lists: whoever only counts the room keeps this number.
        let users = count_users(self.own.values());
        let page = |(page, members)| Digest {
            channel: channel.to_owned(),
            place: (self.place.seq > 0).then_some(self.place),
            clients: saturated(clients),
            users,
            lists,
            page,
            pages: count,
            members,
        };
        (0..).zip(pages).map(page).collect()
    }
}

impl Digest {
    /// Of a gateway that has nobody in the room.
    pub(super) fn of_nobody(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            place: None,
            clients: 0,
            users: 0,
            lists: true,
            page: 0,
            pages: 1,
            members: Vec::new(),
        }
    }
}

/// Anonymous clients are one user, as Centrifugo counts.
pub(super) fn count_users<'a>(members: impl Iterator<Item = &'a Arc<Member>>) -> u32 {
    saturated(members.map(|member| &member.user).collect::<HashSet<_>>().len())
}

pub(super) fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
