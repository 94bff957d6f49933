//! Members of rooms: what one gateway asks another, and the question to all who is in a room that nobody here is in.
//!
//! Questions about one room are one: whoever asks within a second of it gets the same answer, with the own members as
//! they are now. Only so many are open at once.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::Shared};
use natter_protocol::{ErrorCode, PresenceStats};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::debug;
use uuid::Uuid;

use super::{
    Cluster, Message, Recipient,
    survey::{Collected, PART_SIZE, SurveyError, TIMEOUT},
};
use crate::{
    bus::{BoxFuture, BusError},
    channel::Channel,
    gateway::Gateway,
    namespace::Namespace,
    presence::{Digest, Member, PresenceError, READS, pages},
};

/// Questions that are open at once; others wait their turn.
const MAX_SURVEYS: usize = 64;
/// Rooms that are asked about or were in the last second; one more is refused.
const MAX_ROOMS: usize = 4_096;
/// An answer serves whoever asks so soon.
const SERVES: Duration = Duration::from_secs(1);
/// Between two looks for answers that serve nobody any more: a look goes through all of them.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What the other gateways said about their members of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OthersMembers {
    clients: u32,
    /// Users among those that are not listed.
    users: u32,
    /// Some gateway has too many to list them.
    is_cut: bool,
    members: Vec<Arc<Member>>,
}

/// An answer, and how much of it was read.
pub(super) struct Answer {
    others: OthersMembers,
    read: AtomicUsize,
}

impl Answer {
    fn new(others: OthersMembers) -> Self {
        Self {
            others,
            read: AtomicUsize::new(0),
        }
    }

    /// Members are read, with so many own ones. An answer serves for a second, so this bounds a second.
    fn spend(&self, own: usize) -> Result<(), PresenceError> {
        let members = (self.others.members.len() + own).max(1);
        let read = self.read.fetch_add(members, Ordering::Relaxed);
        if read < READS {
            Ok(())
        } else {
            Err(PresenceError::Busy)
        }
    }
}

impl Deref for Answer {
    type Target = OthersMembers;

    fn deref(&self) -> &OthersMembers {
        &self.others
    }
}

/// A part of the members that a gateway has in a room.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MembersPart {
    /// How many, where they are not listed.
    clients: u32,
    users: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
}

impl Collected for OthersMembers {
    type Part = MembersPart;

    fn add(&mut self, part: MembersPart) {
        self.is_cut |= part.clients > 0;
        self.clients += part.clients;
        self.users += part.users;
        self.members.extend(part.members.into_iter().map(Arc::new));
    }
}

type Asked = Shared<BoxFuture<Result<Arc<Answer>, SurveyError>>>;

/// Rooms that all gateways are asked about.
pub(super) struct PresenceSurveys {
    turns: Arc<Semaphore>,
    rooms: Mutex<AskedRooms>,
}

#[derive(Default)]
struct AskedRooms {
    asked: HashMap<Channel, (Instant, Asked)>,
    looked_at: Option<Instant>,
}

impl AskedRooms {
    /// What is asked about a room, or was just now.
    fn get(&self, channel: &str) -> Option<Asked> {
        let (at, asked) = self.asked.get(channel)?;
        (at.elapsed() < SERVES).then(|| asked.clone())
    }

    fn has_place_for(&mut self, channel: &str) -> bool {
        if self.asked.len() < MAX_ROOMS || self.asked.contains_key(channel) {
            return true;
        }
        if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_PAUSE) {
            self.drop_old();
        }
        self.asked.len() < MAX_ROOMS
    }

    fn drop_old(&mut self) {
        self.looked_at = Some(Instant::now());
        self.asked
            .retain(|_, (at, asked)| at.elapsed() < SERVES || asked.peek().is_none());
    }
}

impl Default for PresenceSurveys {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MAX_SURVEYS)),
            rooms: Mutex::default(),
        }
    }
}

impl Gateway {
    /// How many members a room may have to be listed, or why nobody is told who is in it: it keeps no presence, or others
    /// may be there who cannot be asked.
    pub fn presence_limit(&self, namespace: &Namespace) -> Result<usize, ErrorCode> {
        if !namespace.options.presence {
            return Err(ErrorCode::NotAvailable);
        }
        let is_known = self.bus_is_up() || namespace.is_local_without_bus();
        is_known
            .then_some(namespace.options.presence_limit)
            .ok_or(ErrorCode::Internal)
    }

    /// Who is in a room, wherever they are; at most `limit`.
    pub async fn members(&self, channel: &str, limit: usize) -> Result<Vec<Arc<Member>>, PresenceError> {
        if let Some(members) = self.presence.members_here(self, channel)? {
            self.metrics.presence.read_here();
            return Ok(members);
        }
        let others = match self.cluster.members_elsewhere(self, channel).await {
            Err(SurveyError::Timeout) => return self.presence.members_known(channel),
            others => others?,
        };
        let own = self.presence.own_members(channel, limit);
        others.spend(own.members.as_ref().map_or(0, Vec::len))?;
        let mut members = own.members.ok_or(PresenceError::TooLarge)?;
        members.extend(others.members.iter().cloned());
        if others.is_cut || members.len() > limit {
            return Err(PresenceError::TooLarge);
        }
        Ok(members)
    }

    /// How many are in a room, wherever they are.
    pub async fn member_stats(&self, channel: &str, limit: usize) -> Result<PresenceStats, PresenceError> {
        if let Some(stats) = self.presence.stats_here(self, channel)? {
            self.metrics.presence.read_here();
            return Ok(stats);
        }
        let others = match self.cluster.members_elsewhere(self, channel).await {
            Err(SurveyError::Timeout) => return self.presence.stats_known(channel),
            others => others?,
        };
        let own = self.presence.own_members(channel, limit);
        others.spend(own.members.as_ref().map_or(0, Vec::len))?;
        let listed = own.members.iter().flatten().chain(&others.members);
        let users: HashSet<_> = listed.clone().map(|member| &member.user).collect();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let unlisted = own.members.is_none();
        Ok(PresenceStats {
            num_clients: own.clients + others.clients + count(others.members.len()),
            num_users: count(users.len()) + others.users + if unlisted { own.users } else { 0 },
        })
    }
}

impl Cluster {
    /// Asks a gateway for a digest of its members; when that does not come it is asked again.
    pub fn ask_members(&self, gateway: &Gateway, node: Uuid, channel: &str) {
        let channel = channel.to_owned();
        if let Err(error) = self.send(gateway, Recipient::Node(node), Message::AskMembers { channel }) {
            debug!(%error, "could not ask a gateway for the members of a room");
        }
    }

    /// Drops answers that serve nobody any more.
    pub fn drop_answers(&self) {
        self.presence_surveys.rooms.lock().drop_old();
    }

    pub fn send_digest(&self, gateway: &Gateway, node: Uuid, digest: Digest) -> Result<(), BusError> {
        self.send(gateway, Recipient::Node(node), Message::Members(digest))
    }

    async fn members_elsewhere(&self, gateway: &Gateway, channel: &str) -> Result<Arc<Answer>, SurveyError> {
        let Some(gateway) = gateway.shared() else {
            return Err(BusError::Disconnected.into());
        };
        let asked = {
            let mut rooms = self.presence_surveys.rooms.lock();
            match rooms.get(channel) {
                Some(asked) => asked,
                None if !rooms.has_place_for(channel) => return Err(BusError::Overloaded.into()),
                None => {
                    let asked = begin(gateway, channel.into());
                    let known = (Instant::now(), asked.clone());
                    rooms.asked.insert(channel.into(), known);
                    asked
                }
            }
        };
        asked.await
    }
}

/// Runs to its end also when those who asked do not wait for it.
fn begin(gateway: Arc<Gateway>, channel: Channel) -> Asked {
    let runtime = gateway.runtime.clone();
    let turn = gateway.cluster.presence_surveys.turns.clone().acquire_owned();
    let asking = async move {
        let Ok(Ok(_turn)) = timeout(TIMEOUT, turn).await else {
            return Err(BusError::Overloaded.into());
        };
        let others = gateway.cluster.ask_others(&gateway, &channel).await?;
        Ok(Arc::new(Answer::new(others)))
    };
    let asked = (Box::pin(asking) as BoxFuture<_>).shared();
    runtime.spawn(asked.clone());
    asked
}

impl Cluster {
    async fn ask_others(&self, gateway: &Gateway, channel: &Channel) -> Result<OthersMembers, SurveyError> {
        gateway.metrics.presence.read_elsewhere();
        if !gateway.bus_is_up() || !self.knows_others() {
            return Err(BusError::Disconnected.into());
        }
        let mut others = self.nodes.telling_members();
        others.remove(&self.node);
        if others.is_empty() {
            return Ok(OthersMembers::default());
        }
        let channel = channel.to_string();
        let ask = |survey| {
            self.send(
                gateway,
                Recipient::All,
                Message::SurveyMembers { survey, channel },
            )
        };
        self.members.ask(others, ask).await
    }
}

#[cfg(test)]
impl Cluster {
    /// Questions wait for as long as this is kept.
    pub(crate) fn hold_questions(&self) -> impl Sized + use<> {
        let turns = self.presence_surveys.turns.clone();
        turns
            .try_acquire_many_owned(u32::try_from(MAX_SURVEYS).unwrap())
            .unwrap()
    }

    pub(crate) fn asks_about(&self, channel: &str) -> bool {
        self.presence_surveys.rooms.lock().asked.contains_key(channel)
    }
}

/// Answers another gateway with the own members.
pub(super) fn answer(gateway: &Gateway, to: Uuid, survey: Uuid, channel: &str) {
    if to == gateway.node {
        return;
    }
    let live = gateway.live();
    let limit = live
        .namespaces
        .of(channel)
        .map_or(0, |namespace| namespace.options.presence_limit);
    let own = gateway.presence.own_members(channel, limit);
    for (part, last) in parts(own.clients, own.users, own.members.as_deref()) {
        let message = Message::SurveyedMembers { survey, part, last };
        if let Err(error) = gateway.cluster.send(gateway, Recipient::Node(to), message) {
            debug!(%error, "could not answer who is in a room");
        }
    }
}

/// Splits an answer into messages that the bus carries; the last one is marked.
fn parts(clients: u32, users: u32, members: Option<&[Arc<Member>]>) -> Vec<(MembersPart, bool)> {
    let part = |clients, users, members| MembersPart {
        clients,
        users,
        members,
    };
    let Some(members) = members else {
        return vec![(part(clients, users, Vec::new()), true)];
    };
    let pages = pages(members.iter(), PART_SIZE);
    let last = pages.len() - 1;
    let pages = pages.into_iter().enumerate();
    pages
        .map(|(index, members)| (part(0, 0, members), index == last))
        .collect()
}

#[cfg(test)]
mod tests;
