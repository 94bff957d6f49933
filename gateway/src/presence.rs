//! Who is in the rooms that keep presence.
//!
//! Each gateway knows its own members, and of the rooms that it has members in what the other gateways said about theirs.
//! A gateway's words about a room travel on the room's own live subject (`word`): they reach exactly the gateways with
//! members there, and cost no subscription of their own. Changes are collected for `WINDOW`, so that a join storm is
//! a few messages and whoever comes and goes within it is not mentioned; the own members are told of them at the same
//! pace, by pushes, if the namespace has `join_leave`.
//!
//! The state is the truth, and what members are told is the difference of two states:
//!
//! - what the bus does not take stays to be said (`roster`);
//! - words are counted, and whoever misses one asks for a digest (`other`); so does a gateway that comes new into the
//!   room, or back from an outage. A last word that was lost is noticed by the beats that follow at growing distances;
//! - a gateway that leaves or is silent beyond its lease takes its members with it, once (`upkeep`). While the own bus is
//!   away nobody's lease runs;
//! - a batch for the workers waits until they are done with the one before, and what cancels meanwhile is not told.
//!
//! A room with more members than its namespace lists (`presence_limit`) is only counted: gateways say numbers, once a second,
//! and nobody is told of anybody. So neither memory nor messages grow with the square of the members.
//!
//! Reads are answered from memory where members are and nothing is being asked, and elsewhere by a question to all
//! gateways ([`crate::cluster`]).

mod changes;
mod digests;
mod member;
mod other;
mod roster;
mod told;
mod upkeep;
mod word;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use natter_protocol::{ErrorCode, PresenceStats};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{Level, warn};
use uuid::Uuid;

use self::{
    digests::Digests,
    roster::{Policy, Roster, count_users, saturated},
    upkeep::Due,
    word::Word,
};
pub use self::{
    member::{Member, pages, with_infos},
    roster::READS,
    told::Told,
    upkeep::run,
    word::Digest,
};
use crate::{
    bus::BusError, channel::Channel, cluster::SurveyError, gateway::Gateway, inbox::Note,
    namespace::Namespace,
};

/// Changes are collected for so long.
const WINDOW: Duration = Duration::from_millis(150);
const SHARDS: usize = 64;
/// Bytes of members in one message, far below NATS's default limit of 1 MiB.
const PAGE_SIZE: usize = 128 * 1024;
/// Bytes of one thing that is said of a member: each gateway with members of the room keeps it.
const MAX_INFO: usize = 16 * 1024;

/// The members of one gateway's rooms.
pub struct Presence {
    node: Uuid,
    shards: Vec<Mutex<HashMap<Channel, Roster>>>,
    hasher: RandomState,
    lives: AtomicU64,
    due: Due,
    digests: Digests,
    /// Gateways that said something, and when first.
    nodes: Mutex<HashMap<Uuid, Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    #[error("the room has more members than its namespace lists (presence_limit): ask for presence_stats")]
    TooLarge,
    #[error("the members of this room are read too often")]
    Busy,
    #[error(transparent)]
    Survey(#[from] SurveyError),
}

impl PresenceError {
    pub fn code(self) -> ErrorCode {
        match self {
            Self::TooLarge => ErrorCode::LimitExceeded,
            Self::Busy | Self::Survey(SurveyError::Bus(BusError::Overloaded)) => ErrorCode::TooManyRequests,
            Self::Survey(_) => ErrorCode::Internal,
        }
    }
}

/// The members that one gateway has in a room.
#[derive(Default)]
pub struct OwnMembers {
    pub clients: u32,
    pub users: u32,
    /// `None`: too many.
    pub members: Option<Vec<Arc<Member>>>,
}

impl Policy {
    fn of(namespace: &Namespace) -> Self {
        Self {
            limit: namespace.options.presence_limit,
            tells: namespace.options.join_leave,
        }
    }
}

impl Gateway {
    /// Bytes of members in one message. Quotes are escaped in it, so it may become twice as large.
    pub fn presence_page(&self) -> usize {
        let largest = self.bus().map_or(usize::MAX, |bus| bus.max_message_size());
        PAGE_SIZE.min(largest / 4)
    }

    /// Bytes of what others are told of a client: with it everywhere and in a room a member fits into one message.
    pub fn presence_info_limit(&self) -> usize {
        MAX_INFO.min(self.presence_page() / 4)
    }
}

impl Presence {
    pub fn new(node: Uuid) -> Self {
        Self {
            node,
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
            lives: AtomicU64::new(0),
            due: Due::default(),
            digests: Digests::default(),
            nodes: Mutex::default(),
        }
    }

    fn shard(&self, channel: &str) -> &Mutex<HashMap<Channel, Roster>> {
        // The remainder is below SHARDS.
        &self.shards[usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or(0)]
    }

    /// A connection of this gateway is in the room.
    pub fn join(&self, channel: &Channel, namespace: &Namespace, member: Member) {
        let policy = Policy::of(namespace);
        let mut shard = self.shard(channel).lock();
        let roster = shard.entry(channel.clone()).or_insert_with(|| {
            let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
            Roster::new(policy, life)
        });
        roster.join(Arc::new(member), policy);
        self.due.list(channel, roster);
    }

    /// A connection of this gateway is not in the room any more.
    pub fn leave(&self, channel: &Channel, client: Uuid) {
        if let Some(roster) = self.shard(channel).lock().get_mut(channel) {
            roster.leave(client);
            self.due.list(channel, roster);
        }
    }

    /// Another gateway says something about its members of a room; it is of no interest where nobody is in it.
    pub fn hear(&self, gateway: &Gateway, channel: &str, from: Uuid, bytes: &[u8]) {
        let word = match Word::decode(bytes) {
            Ok(word) => word,
            Err(error) => {
                gateway.metrics.bus.error("undecodable");
                if gateway.log_budget.cause("presence", Level::WARN).admit() {
                    warn!(channel, %from, %error, "dropped a word about the members of a room");
                }
                return;
            }
        };
        if from == self.node || gateway.cluster.has_left(from) {
            return;
        }
        if word.asks && self.shard(channel).lock().contains_key(channel) {
            self.digests.owe(gateway, from, channel);
        }
        self.change(gateway, channel, from, |roster| roster.hear(from, word));
    }

    /// Another gateway says who its members are.
    pub fn digest(&self, gateway: &Gateway, from: Uuid, digest: Digest) {
        if !gateway.cluster.has_left(from) {
            let channel = digest.channel.clone();
            self.change(gateway, &channel, from, |roster| roster.digest(from, digest));
        }
    }

    /// Another gateway asks who the members here are.
    pub fn asked(&self, gateway: &Gateway, from: Uuid, channel: &str) {
        self.digests.owe(gateway, from, channel);
    }

    /// Changes what is known of a room by what another gateway said, and asks that if it is told to.
    fn change(&self, gateway: &Gateway, channel: &str, from: Uuid, change: impl FnOnce(&mut Roster) -> bool) {
        let mut shard = self.shard(channel).lock();
        let Some((name, _)) = shard.get_key_value(channel) else {
            return;
        };
        let name = name.clone();
        let Some(roster) = shard.get_mut(channel) else {
            return;
        };
        let asks = change(roster);
        self.due.list(&name, roster);
        drop(shard);
        self.nodes.lock().entry(from).or_insert_with(Instant::now);
        if asks {
            gateway.metrics.presence.repairs.inc();
            gateway.cluster.ask_members(gateway, from, channel);
        }
    }

    /// Says and tells what is to be said and told of a room.
    fn flush(&self, gateway: &Gateway, channel: &Channel) {
        let mut shard = self.shard(channel).lock();
        let Some(roster) = shard.get_mut(channel) else {
            return;
        };
        roster.is_due = false;
        if let Some(namespace) = gateway.live().namespaces.of(channel) {
            roster.follow(Policy::of(namespace));
        }
        let mut is_away = false;
        while let Some((word, until)) = roster.next_word(gateway.presence_page()) {
            match gateway.announce(channel, word.clone().encode()) {
                Ok(()) => roster.said(&word, until),
                Err(error) => {
                    // What is said after an outage is said by the upkeep; what is too large does not become smaller.
                    is_away = matches!(error, BusError::Disconnected | BusError::TooLarge);
                    break;
                }
            }
        }
        let is_telling = match roster.tell(channel) {
            roster::Telling::Nothing => false,
            roster::Telling::Later => true,
            roster::Telling::Now(told) => {
                gateway.rooms.tell(channel, &Note::Presence(told));
                false
            }
        };
        if roster.is_over() {
            shard.remove(channel);
        } else if is_telling || (roster.has_word() && !is_away) {
            self.due.list(channel, roster);
        }
    }

    /// The members of a room as far as they are known here; `None` when others have to be asked.
    pub fn members_here(
        &self,
        gateway: &Gateway,
        channel: &str,
    ) -> Result<Option<Vec<Arc<Member>>>, PresenceError> {
        self.read(gateway, channel, Roster::members)
    }

    /// As [`Presence::members_here`]: how many.
    pub fn stats_here(
        &self,
        gateway: &Gateway,
        channel: &str,
    ) -> Result<Option<PresenceStats>, PresenceError> {
        self.read(gateway, channel, Roster::stats)
    }

    fn read<T>(
        &self,
        gateway: &Gateway,
        channel: &str,
        read: impl FnOnce(&mut Roster) -> Result<T, PresenceError>,
    ) -> Result<Option<T>, PresenceError> {
        // Where rooms go on without the bus, what was known last is all there is.
        let is_away = !gateway.bus_is_up();
        let mut shard = self.shard(channel).lock();
        let roster = shard
            .get_mut(channel)
            .filter(|roster| is_away || roster.is_whole());
        roster.map(read).transpose()
    }

    /// The members of a room as far as they are known here, when a gateway does not answer: it may be dead, and its lease
    /// runs.
    pub fn members_known(&self, channel: &str) -> Result<Vec<Arc<Member>>, PresenceError> {
        self.known(channel, Roster::members)
    }

    /// As [`Presence::members_known`]: how many.
    pub fn stats_known(&self, channel: &str) -> Result<PresenceStats, PresenceError> {
        self.known(channel, Roster::stats)
    }

    fn known<T>(
        &self,
        channel: &str,
        read: impl FnOnce(&mut Roster) -> Result<T, PresenceError>,
    ) -> Result<T, PresenceError> {
        let mut shard = self.shard(channel).lock();
        let roster = shard.get_mut(channel);
        roster.map_or(Err(SurveyError::Timeout.into()), read)
    }

    /// The own members alone; not more than `limit`.
    pub fn own_members(&self, channel: &str, limit: usize) -> OwnMembers {
        let shard = self.shard(channel).lock();
        let Some(roster) = shard.get(channel) else {
            return OwnMembers {
                members: Some(Vec::new()),
                ..OwnMembers::default()
            };
        };
        let clients = roster.own().count();
        OwnMembers {
            clients: saturated(clients),
            users: count_users(roster.own()),
            members: (clients <= limit).then(|| roster.own().cloned().collect()),
        }
    }

    /// A gateway is gone: so are its members.
    pub fn forget(&self, gateway: &Gateway, node: Uuid) {
        if self.nodes.lock().remove(&node).is_none() {
            return;
        }
        let mut gone = 0;
        for shard in &self.shards {
            for (channel, roster) in &mut *shard.lock() {
                let clients = roster.forget(node);
                if clients > 0 {
                    gone += clients;
                    self.due.list(channel, roster);
                }
            }
        }
        gateway.metrics.presence.gone.inc_by(gone as u64);
    }
}
