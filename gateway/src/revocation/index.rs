//! The rules in memory, to be asked about everybody who comes.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::rule::{Credential, Kind, Revocation, Rule};

#[derive(Default)]
pub(super) struct Index {
    /// By key, in its order.
    all: BTreeMap<String, Revocation>,
    /// Ends of rules about tokens.
    tokens: HashMap<String, u64>,
    users: HashMap<String, OfUser>,
    /// Rules of each kind, in the order of [`Kind::ALL`].
    counts: [usize; Kind::ALL.len()],
}

/// Rules about one user; times are Unix seconds, and 0 stands for none.
#[derive(Default)]
struct OfUser {
    blocked_until: u64,
    issued: Issued,
    rooms: HashMap<String, OfRoom>,
}

#[derive(Default)]
struct OfRoom {
    banned_until: u64,
    issued: Issued,
}

/// Which tokens are too old, and until when that holds.
#[derive(Clone, Copy, Default)]
struct Issued {
    before: u64,
    until: u64,
}

impl Issued {
    fn concerns(self, token: Option<&Credential>, now: u64) -> bool {
        token.is_some_and(|token| now < self.until && token.issued_at < self.before)
    }
}

impl OfUser {
    fn is_empty(&self) -> bool {
        self.blocked_until == 0 && self.issued.until == 0 && self.rooms.is_empty()
    }
}

impl OfRoom {
    fn is_empty(&self) -> bool {
        self.banned_until == 0 && self.issued.until == 0
    }
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Revocation> {
        self.all.get(key)
    }

    pub(super) fn insert(&mut self, key: String, revocation: Revocation) {
        self.remove(&key);
        self.mark(&revocation.rule, revocation.expire_at);
        self.counts[revocation.rule.kind() as usize] += 1;
        self.all.insert(key, revocation);
    }

    /// What was there.
    pub(super) fn remove(&mut self, key: &str) -> Option<Revocation> {
        let removed = self.all.remove(key)?;
        self.mark(&removed.rule, 0);
        self.counts[removed.rule.kind() as usize] -= 1;
        Some(removed)
    }

    /// Forgets what is over.
    pub(super) fn sweep(&mut self, now: u64) {
        let over = self.all.iter().filter(|(_, revocation)| revocation.is_over(now));
        let over: Vec<String> = over.map(|(key, _)| key.clone()).collect();
        for key in over {
            self.remove(&key);
        }
    }

    /// Notes until when a rule holds; 0: not at all.
    fn mark(&mut self, rule: &Rule, until: u64) {
        match rule {
            Rule::Token { uid } if until == 0 => drop(self.tokens.remove(uid)),
            Rule::Token { uid } => drop(self.tokens.insert(uid.clone(), until)),
            Rule::User { user } => self.mark_user(user, |of_user| of_user.blocked_until = until),
            Rule::IssuedBefore {
                user,
                channel,
                issued_before,
            } => {
                let issued = Issued {
                    before: *issued_before,
                    until,
                };
                match channel {
                    None => self.mark_user(user, |of_user| of_user.issued = issued),
                    Some(channel) => self.mark_room(user, channel, |of_room| of_room.issued = issued),
                }
            }
            Rule::Ban { user, channel } => {
                self.mark_room(user, channel, |of_room| of_room.banned_until = until);
            }
        }
    }

    fn mark_user(&mut self, user: &str, change: impl FnOnce(&mut OfUser)) {
        let of_user = self.users.entry(user.to_owned()).or_default();
        change(of_user);
        if of_user.is_empty() {
            self.users.remove(user);
        }
    }

    fn mark_room(&mut self, user: &str, channel: &str, change: impl FnOnce(&mut OfRoom)) {
        self.mark_user(user, |of_user| {
            let of_room = of_user.rooms.entry(channel.to_owned()).or_default();
            change(of_room);
            if of_room.is_empty() {
                of_user.rooms.remove(channel);
            }
        });
    }

    fn concerns_token(&self, token: Option<&Credential>, now: u64) -> bool {
        let id = token.map(|token| &*token.id).filter(|id| !id.is_empty());
        id.and_then(|id| self.tokens.get(id))
            .is_some_and(|until| now < *until)
    }

    /// Why a connection of this user, by this token, is not good any more.
    pub(super) fn judge(&self, user: &str, token: Option<&Credential>, now: u64) -> Option<Kind> {
        if self.concerns_token(token, now) {
            return Some(Kind::Token);
        }
        let of_user = self.users.get(user)?;
        if now < of_user.blocked_until {
            return Some(Kind::User);
        }
        let is_old = of_user.issued.concerns(token, now);
        is_old.then_some(Kind::IssuedBefore)
    }

    /// Why this user must not be in this room, or not by this token.
    pub(super) fn judge_room(
        &self,
        user: &str,
        channel: &str,
        token: Option<&Credential>,
        now: u64,
    ) -> Option<Kind> {
        if self.concerns_token(token, now) {
            return Some(Kind::Token);
        }
        let of_user = self.users.get(user)?;
        let of_room = of_user.rooms.get(channel);
        if of_room.is_some_and(|of_room| now < of_room.banned_until) {
            return Some(Kind::Ban);
        }
        let in_room = of_room.map(|of_room| of_room.issued).unwrap_or_default();
        let is_old = of_user.issued.concerns(token, now) || in_room.concerns(token, now);
        is_old.then_some(Kind::IssuedBefore)
    }

    /// Those after a key that `fits`, at most `limit`; and the key to go on after, if there are more.
    pub(super) fn page(
        &self,
        after: &str,
        limit: usize,
        fits: impl Fn(&Revocation) -> bool,
    ) -> (Vec<Revocation>, Option<String>) {
        let range = (Bound::Excluded(after.to_owned()), Bound::Unbounded);
        let mut fitting = self.all.range(range).filter(|(_, revocation)| fits(revocation));
        let mut page = Vec::new();
        let mut last = None;
        while page.len() < limit
            && let Some((key, revocation)) = fitting.next()
        {
            page.push(revocation.clone());
            last = Some(key);
        }
        let next = fitting.next().is_some().then(|| last.cloned()).flatten();
        (page, next)
    }

    /// How many rules there are of a kind.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100;

    fn with(rules: Vec<Rule>) -> Index {
        let mut index = Index::default();
        for rule in rules {
            let revocation = Revocation {
                rule,
                created_at: 0,
                expire_at: NOW + 10,
            };
            index.insert(revocation.rule.key(), revocation);
        }
        index
    }

    fn token(id: &str, issued_at: u64) -> Credential {
        Credential {
            id: id.into(),
            issued_at,
        }
    }

    fn before(channel: Option<&str>) -> Rule {
        Rule::IssuedBefore {
            user: "ann".into(),
            channel: channel.map(str::to_owned),
            issued_before: 50,
        }
    }

    #[test]
    fn each_rule_concerns_what_it_names_until_its_end() {
        let index = with(vec![
            Rule::Token { uid: "t1".into() },
            Rule::User { user: "bob".into() },
            before(None),
            Rule::Ban {
                user: "cat".into(),
                channel: "room".into(),
            },
        ]);
        let judged = |user, id, issued_at| index.judge(user, Some(&token(id, issued_at)), NOW);
        assert_eq!(judged("dan", "t1", 99), Some(Kind::Token));
        assert_eq!(judged("dan", "t2", 99), None);
        assert_eq!(judged("bob", "", 99), Some(Kind::User));
        assert_eq!(index.judge("bob", None, NOW), Some(Kind::User));
        assert_eq!(judged("ann", "", 49), Some(Kind::IssuedBefore));
        assert_eq!(
            judged("ann", "", 0),
            Some(Kind::IssuedBefore),
            "it does not say when"
        );
        assert_eq!(judged("ann", "", 50), None, "a newer one");
        assert_eq!(index.judge("ann", None, NOW), None, "no token");
        assert_eq!(judged("cat", "", 0), None, "banned from a room alone");
        assert_eq!(index.judge_room("cat", "room", None, NOW), Some(Kind::Ban));
        assert_eq!(index.judge_room("cat", "other", None, NOW), None);
        for user in ["bob", "cat"] {
            assert_eq!(index.judge(user, Some(&token("t1", 0)), NOW + 10), None);
            assert_eq!(index.judge_room(user, "room", None, NOW + 10), None);
        }
    }

    #[test]
    fn tokens_of_one_room_are_revoked_without_those_of_others() {
        let index = with(vec![before(Some("room"))]);
        let old = token("", 1);
        assert_eq!(
            index.judge_room("ann", "room", Some(&old), NOW),
            Some(Kind::IssuedBefore)
        );
        assert_eq!(index.judge_room("ann", "room", None, NOW), None, "in by no token");
        assert_eq!(index.judge_room("ann", "other", Some(&old), NOW), None);
        assert_eq!(index.judge("ann", Some(&old), NOW), None);
    }

    #[test]
    fn what_is_removed_or_over_leaves_nothing() {
        let rules = vec![
            Rule::Token { uid: "t1".into() },
            Rule::User { user: "ann".into() },
            before(None),
            before(Some("room")),
            Rule::Ban {
                user: "ann".into(),
                channel: "room".into(),
            },
        ];
        let mut index = with(rules.clone());
        for rule in &rules {
            assert_eq!(index.remove(&rule.key()).unwrap().rule, *rule);
        }
        assert!(index.tokens.is_empty() && index.users.is_empty() && index.len() == 0);
        let mut index = with(rules);
        index.sweep(NOW + 9);
        assert_eq!(index.len(), 5);
        index.sweep(NOW + 10);
        assert!(index.tokens.is_empty() && index.users.is_empty() && index.len() == 0);
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let users = ["a", "b", "c", "d", "e"];
        let index = with(users.map(|user| Rule::User { user: user.into() }).to_vec());
        let (mut seen, mut after) = (0, String::new());
        loop {
            let (page, next) = index.page(&after, 2, |_| true);
            seen += page.len();
            let Some(next) = next else { break };
            assert_eq!(page.len(), 2);
            after = next;
        }
        assert_eq!(seen, users.len());
        let (page, next) = index.page("", 9, |revocation| revocation.rule.user() == Some("c"));
        assert_eq!((page.len(), next), (1, None));
        assert_eq!((index.count(Kind::User), index.count(Kind::Ban)), (5, 0));
    }
}
