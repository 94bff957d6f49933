//! Which gateways are there.
//!
//! What a gateway says to all and what it says to one arrives by two subscriptions, in any order: an announcement may be
//! read after the farewell that was sent behind it. So whoever has left stays known as such for a while. It does not come
//! back: a gateway that starts again has another id.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::{ANNOUNCE_EVERY, NODE_LIFETIME, NodeInfo, message::Announcement};
use crate::config::{LEASE_MARGIN, MAX_LEASE};

/// After which a silent gateway is not even asked any more whether something is in force there.
const FORGOTTEN: Duration = MAX_LEASE
    .saturating_add(LEASE_MARGIN)
    .saturating_add(ANNOUNCE_EVERY);
const _: () = assert!(NODE_LIFETIME.as_secs() < FORGOTTEN.as_secs());

#[derive(Default)]
pub(super) struct Nodes {
    /// When each was heard last, and what it said; nothing once it has left.
    heard: Mutex<HashMap<Uuid, (Instant, Option<Announcement>)>>,
}

impl Nodes {
    /// Whether it was not there before.
    pub(super) fn hear(&self, said: Announcement) -> bool {
        let mut heard = self.heard.lock();
        heard.retain(|_, (at, _)| at.elapsed() < FORGOTTEN);
        match heard.entry(said.info.uid) {
            Entry::Occupied(mut known) => {
                let (at, former) = known.get_mut();
                if former.is_none() {
                    return false;
                }
                let was_silent = at.elapsed() >= NODE_LIFETIME;
                (*at, *former) = (Instant::now(), Some(said));
                was_silent
            }
            Entry::Vacant(place) => {
                place.insert((Instant::now(), Some(said)));
                true
            }
        }
    }

    pub(super) fn forget(&self, node: Uuid) {
        self.heard.lock().insert(node, (Instant::now(), None));
    }

    /// Whether it was heard lately and has not left.
    pub(super) fn is_present(&self, node: Uuid) -> bool {
        let heard = self.heard.lock();
        heard
            .get(&node)
            .is_some_and(|(at, said)| said.is_some() && at.elapsed() < NODE_LIFETIME)
    }

    /// Whether it has said that it leaves, a while ago at most.
    pub(super) fn has_left(&self, node: Uuid) -> bool {
        self.heard
            .lock()
            .get(&node)
            .is_some_and(|(_, said)| said.is_none())
    }

    /// The gateways that answer who their members are.
    pub(super) fn telling_members(&self) -> HashSet<Uuid> {
        self.those(NODE_LIFETIME, |said| said.tells_members)
    }

    /// The gateways that answer how many connections a user has.
    pub(super) fn counting_users(&self) -> HashSet<Uuid> {
        self.those(NODE_LIFETIME, |said| said.counts_users)
    }

    /// Those that put revocations in force and may have a lease, when it outlasts the last word of a gateway by `within`.
    pub(super) fn heeding_revocations(&self, within: Duration) -> HashSet<Uuid> {
        self.those(within.max(NODE_LIFETIME), |said| said.heeds_revocations)
    }

    fn those(&self, within: Duration, able: impl Fn(&Announcement) -> bool) -> HashSet<Uuid> {
        let heard = self.heard.lock();
        let lately = heard.values().filter(|(at, _)| at.elapsed() < within);
        let present = lately.filter_map(|(_, said)| said.as_ref());
        let able = present.filter(|said| able(said));
        able.map(|said| said.info.uid).collect()
    }

    /// Sorted by name, so that answers are stable.
    pub(super) fn present(&self) -> Vec<NodeInfo> {
        let heard = self.heard.lock();
        let lately = heard.values().filter(|(at, _)| at.elapsed() < NODE_LIFETIME);
        let present = lately.filter_map(|(_, said)| said.as_ref());
        let mut present: Vec<_> = present.map(|said| said.info.clone()).collect();
        present.sort_by(|a, b| (&a.name, a.uid).cmp(&(&b.name, b.uid)));
        present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str) -> Announcement {
        let info = NodeInfo {
            uid: Uuid::new_v4(),
            name: name.into(),
            version: "1".into(),
            num_clients: 0,
            num_users: 0,
            num_subs: 0,
            num_channels: 0,
            uptime: 0,
        };
        Announcement {
            info,
            tells_members: true,
            counts_users: true,
            heeds_revocations: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_tell_its_members_is_not_asked_for_them() {
        let nodes = Nodes::default();
        let (a, mut b) = (said("a"), said("b"));
        b.tells_members = false;
        b.heeds_revocations = false;
        nodes.hear(a.clone());
        nodes.hear(b);
        assert_eq!(nodes.present().len(), 2);
        assert_eq!(nodes.telling_members(), HashSet::from([a.info.uid]));
        assert_eq!(
            nodes.heeding_revocations(NODE_LIFETIME),
            HashSet::from([a.info.uid])
        );
        nodes.forget(a.info.uid);
        assert!(nodes.telling_members().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn silent_gateways_are_forgotten() {
        let nodes = Nodes::default();
        nodes.hear(said("b"));
        tokio::time::advance(NODE_LIFETIME / 2).await;
        let a = said("a");
        assert!(nodes.hear(a.clone()), "a newcomer");
        assert!(!nodes.hear(a.clone()), "known by now");
        let names: Vec<_> = nodes.present().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(nodes.is_present(a.info.uid));
        tokio::time::advance(NODE_LIFETIME / 2).await;
        assert_eq!(nodes.present(), std::slice::from_ref(&a.info));
        tokio::time::advance(NODE_LIFETIME / 2).await;
        assert!(!nodes.is_present(a.info.uid));
        assert!(nodes.hear(a.clone()), "back after a silence");
    }

    /// A gateway that is silent may give something out for as long as its lease lasts.
    #[tokio::test(start_paused = true)]
    async fn silent_gateways_are_asked_what_is_in_force_for_as_long_as_they_may_have_a_lease() {
        let nodes = Nodes::default();
        let a = said("a");
        nodes.hear(a.clone());
        let (lease, last) = (Duration::from_secs(30), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(nodes.present().is_empty() && nodes.counting_users().is_empty());
        nodes.hear(said("b"));
        assert!(nodes.heeding_revocations(lease).contains(&a.info.uid));
        assert!(!nodes.heeding_revocations(NODE_LIFETIME).contains(&a.info.uid));
        tokio::time::advance(last).await;
        assert!(!nodes.heeding_revocations(lease).contains(&a.info.uid));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_left_is_not_brought_back_by_an_announcement_that_came_late() {
        let nodes = Nodes::default();
        let (a, b) = (said("a"), said("b"));
        nodes.hear(a.clone());
        nodes.forget(a.info.uid);
        nodes.forget(b.info.uid);
        assert!(!nodes.hear(a.clone()) && !nodes.hear(b));
        assert!(nodes.present().is_empty());
        assert!(nodes.has_left(a.info.uid) && !nodes.is_present(a.info.uid));
        tokio::time::advance(FORGOTTEN).await;
        nodes.hear(said("c"));
        assert_eq!(nodes.heard.lock().len(), 1, "nothing stays for ever");
    }
}
