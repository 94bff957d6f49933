//! What is not good any more: tokens, users, users' older tokens, users in rooms. Kept by the bus, known in memory at every gateway.
//!
//! # How a rule gets everywhere
//!
//! The gateway that is called keeps the rule on the bus (NATS: a key-value bucket, `bus/nats/jetstream/bucket.rs`), tells all gateways
//! what was kept and as which change, and waits until each says that the rule is in force there. A gateway takes what is told and new
//! to it as it is, and asks the bus where it lacks others or knows something else by that number; it confirms nothing but what it
//! goes by, or has read a later change of. Besides, every gateway asks the bus five times within a lease (`revocation.lease`, 5 s)
//! what has changed, so nothing depends on a message that may be lost.
//!
//! In force means: the rule is in the index, which everybody who comes is held against, and each worker has then looked at
//! those who are there. The order matters. A worker holds a client against the index and enters it into its tables in one turn, and
//! what it is told to look at comes in another: whoever was let in by the older index is in the tables by then. And a
//! publication that reaches the gateway later is behind that look in the worker's inbox.
//!
//! # What an answer means, and the lease
//!
//! A call is answered when the rule holds everywhere: every gateway that was heard of lately has said so, or a lease has passed since the
//! rule was kept. For a gateway counts its lease from the moment *before* it asked for changes, so one that does not know
//! the rule by then has had no lease for a while: cut off from the bus, or hung. Without a lease it gives nobody anything in rooms with
//! access rules ([`Live::has_access_rules`](crate::gateway::Live::has_access_rules)): publications are dropped (ephemeral rooms) or wait and are then recovered (durable ones), joins,
//! history, presence and what clients say are refused with 100. When it has caught up, and has closed what is to be closed,
//! it goes on. The same holds after a start until all rules are read.
//!
//! Clients may connect meanwhile: a connection alone brings nothing of such rooms, and those who should not have been let in are found when
//! the rules come.
//!
//! # Bounds
//!
//! Every rule ends, after a year at most. There are at most `revocation.max_rules`; then new ones are refused. What the store has lost the
//! gateways that know it keep anew, and go on until it is there (`revocation/ledger.rs`).
//!
//! On NATS without `JetStream` nothing can be kept: the calls are refused, and there is no lease. What the embedded bus keeps ends with
//! the process.

mod index;
mod keeper;
mod lease;
mod ledger;
mod order;
mod rule;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use self::{index::Index, lease::Lease};
pub use self::{
    keeper::start,
    order::RevokeError,
    rule::{Credential, Kind, MAX_ID, MAX_LIFE, Revocation, Rule},
};
use crate::{bus::Kept, clock::unix_now, metrics::RevocationMetrics};

/// Changes that were told and wait to be put in force; more are found by the next question to the bus.
const MAX_HEARD: usize = 4_096;

/// What one gateway knows.
pub struct Revocations {
    index: RwLock<Index>,
    /// Most gateways have nothing to look up.
    has_rules: AtomicBool,
    lease: Lease,
    was_current: AtomicBool,
    /// The bus has no place to keep rules, and somebody else has to make it.
    is_missing: AtomicBool,
    heard: mpsc::Sender<Heard>,
    /// Until the keeper takes it.
    unheard: Mutex<Option<mpsc::Receiver<Heard>>>,
    metrics: RevocationMetrics,
}

/// A change that a gateway tells, and wants to know in force.
#[derive(Debug)]
pub struct Heard {
    /// Names the store that has counted it.
    pub epoch: Arc<str>,
    pub kept: Kept,
    pub from: Uuid,
    pub question: Uuid,
}

/// Whose connections a worker is to hold against the rules again.
#[derive(Debug, Default)]
pub struct Concerned {
    pub users: HashSet<String>,
    /// Whoever came in by one of these, by their `jti`.
    pub tokens: HashSet<String>,
}

impl Concerned {
    /// By these rules.
    fn by<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut concerned = Self::default();
        for rule in rules {
            match rule {
                Rule::Token { uid } => concerned.tokens.insert(uid.clone()),
                Rule::User { user } | Rule::IssuedBefore { user, .. } | Rule::Ban { user, .. } => {
                    concerned.users.insert(user.clone())
                }
            };
        }
        concerned
    }
}

/// A page of rules.
pub struct Page {
    pub revocations: Vec<Revocation>,
    /// Where the next one begins.
    pub cursor: Option<String>,
    /// All rules that there are.
    pub total: usize,
}

impl Revocations {
    pub fn new(metrics: RevocationMetrics) -> Self {
        let (heard, unheard) = mpsc::channel(MAX_HEARD);
        Self {
            index: RwLock::default(),
            has_rules: AtomicBool::new(false),
            lease: Lease::new(),
            was_current: AtomicBool::new(false),
            is_missing: AtomicBool::new(false),
            heard,
            unheard: Mutex::new(Some(unheard)),
            metrics,
        }
    }

    /// Whether it is known what is not good any more.
    pub fn is_current(&self) -> bool {
        self.lease.is_live()
    }

    /// Whether that was ever known.
    pub fn was_current(&self) -> bool {
        self.was_current.load(Ordering::Acquire)
    }

    /// Whether the place where rules are kept has to be made by somebody else.
    pub fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Acquire)
    }

    /// What was kept when the bus was `asked` is in force.
    fn renew(&self, asked: Instant, lease: Duration) {
        self.lease.extend(asked, lease);
        self.was_current.store(true, Ordering::Release);
    }

    /// Nothing can be kept, and nothing is to be known.
    pub(crate) fn waive(&self) {
        self.lease.waive();
        self.was_current.store(true, Ordering::Release);
    }

    /// Another gateway, or this one, has kept something. What finds no place is found later, and not confirmed.
    pub fn hear(&self, heard: Heard) {
        let _ = self.heard.try_send(heard);
    }

    /// Why a connection of this user, by this token, is not good any more.
    pub fn judge(&self, user: &str, token: Option<&Credential>) -> Option<Kind> {
        if !self.has_rules.load(Ordering::Acquire) {
            return None;
        }
        self.index.read().judge(user, token, unix_now())
    }

    /// Why this user must not be in this room, or not by this token.
    pub fn judge_room(&self, user: &str, channel: &str, token: Option<&Credential>) -> Option<Kind> {
        if !self.has_rules.load(Ordering::Acquire) {
            return None;
        }
        self.index.read().judge_room(user, channel, token, unix_now())
    }

    /// Rules after a cursor, those about one user or all.
    pub fn page(&self, cursor: &str, limit: usize, user: Option<&str>) -> Page {
        let index = self.index.read();
        let now = unix_now();
        let fits = |revocation: &Revocation| {
            !revocation.is_over(now) && user.is_none_or(|user| revocation.rule.user() == Some(user))
        };
        let (revocations, cursor) = index.page(cursor, limit, fits);
        Page {
            revocations,
            cursor,
            total: index.len(),
        }
    }

    /// A connection or a subscription ended, or did not begin, because of a rule.
    pub fn acted(&self, kind: Kind, act: Act) {
        self.metrics.acted(kind, act);
    }

    /// Something of a room with access rules was not given to its members.
    pub fn withheld(&self) {
        self.metrics.withheld();
    }

    /// A rule is in force, and no worker was told of it yet.
    #[cfg(test)]
    pub(crate) fn know(&self, rule: Rule) {
        let revocation = Revocation {
            created_at: 0,
            expire_at: u64::MAX,
            rule,
        };
        let mut index = self.index.write();
        index.insert(revocation.rule.key(), revocation);
        self.changed(&index);
    }

    /// Takes what was read or told into the index; gives the rules that are new there.
    fn take(&self, kept: &[Kept], unreadable: &mut usize) -> Vec<Revocation> {
        let mut new = Vec::new();
        let now = unix_now();
        let mut index = self.index.write();
        for Kept { key, value, .. } in kept {
            if value.is_empty() {
                index.remove(key);
                continue;
            }
            let Ok(revocation) = Revocation::decode(value) else {
                *unreadable += 1;
                continue;
            };
            if revocation.is_over(now) {
                index.remove(key);
            } else if index.get(key) != Some(&revocation) {
                new.push(revocation.clone());
                index.insert(key.clone(), revocation);
            }
        }
        self.changed(&index);
        new
    }

    fn forget<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        let mut index = self.index.write();
        for key in keys {
            index.remove(key);
        }
        self.changed(&index);
    }

    /// The rule with this key.
    fn rule(&self, key: &str) -> Option<Revocation> {
        self.index.read().get(key).cloned()
    }

    /// Whether just this is gone by, or is over.
    fn holds(&self, kept: &Kept) -> bool {
        let index = self.index.read();
        let known = index.get(&kept.key);
        if kept.value.is_empty() {
            return known.is_none();
        }
        Revocation::decode(&kept.value)
            .is_ok_and(|revocation| revocation.is_over(unix_now()) || known == Some(&revocation))
    }

    fn sweep(&self) {
        let mut index = self.index.write();
        index.sweep(unix_now());
        self.changed(&index);
    }

    fn changed(&self, index: &Index) {
        self.has_rules.store(index.len() > 0, Ordering::Release);
        for kind in Kind::ALL {
            self.metrics.rules(kind, index.count(kind));
        }
    }
}

/// What a rule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A connection was closed.
    Closed,
    /// A client was taken out of a room.
    Unsubscribed,
    /// A connection, a join or another command was refused.
    Refused,
}

impl Act {
    pub const ALL: [Self; 3] = [Self::Closed, Self::Unsubscribed, Self::Refused];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Unsubscribed => "unsubscribed",
            Self::Refused => "refused",
        }
    }
}
