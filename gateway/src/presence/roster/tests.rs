use super::*;
use crate::presence::word::Word;

const POLICY: Policy = Policy {
    limit: 8,
    tells: true,
};

const PAGE: usize = 128 * 1024;

/// Gateways with members of one room, and a bus that loses what it is told to lose.
struct Cluster {
    rosters: Vec<(Uuid, Roster)>,
    lost: usize,
}

impl Cluster {
    fn new(gateways: usize) -> Self {
        let roster = |n| (Uuid::new_v4(), Roster::new(POLICY, n as u64 + 1));
        Self {
            rosters: (0..gateways).map(roster).collect(),
            lost: 0,
        }
    }

    fn join(&mut self, gateway: usize, name: &str) -> Uuid {
        let member = Member::fixture(name);
        let client = member.client;
        self.rosters[gateway].1.join(member, POLICY);
        client
    }

    fn leave(&mut self, gateway: usize, client: Uuid) {
        self.rosters[gateway].1.leave(client);
    }

    /// A window ends at every gateway; everybody who asks is answered.
    fn flush(&mut self) {
        for sender in 0..self.rosters.len() {
            while let Some((word, until)) = self.rosters[sender].1.next_word(PAGE) {
                self.rosters[sender].1.said(&word, until);
                if self.lost > 0 {
                    self.lost -= 1;
                } else {
                    self.say(sender, &word);
                }
            }
        }
    }

    fn say(&mut self, sender: usize, word: &Word) {
        let from = self.rosters[sender].0;
        for reader in (0..self.rosters.len()).filter(|reader| *reader != sender) {
            // Who has nobody in the room has no roster.
            if self.rosters[reader].1.own().next().is_none() {
                continue;
            }
            if word.asks {
                self.answer(sender, reader);
            }
            if self.rosters[reader].1.hear(from, word.clone()) {
                self.answer(reader, sender);
            }
        }
    }

    /// `to` gets the digest of `of`.
    fn answer(&mut self, to: usize, of: usize) {
        let (from, roster) = &self.rosters[of];
        if roster.own().next().is_none() {
            return;
        }
        let (from, digests) = (*from, roster.digests("room", PAGE));
        for digest in digests {
            self.rosters[to].1.digest(from, digest);
        }
    }

    fn upkeep(&mut self) {
        for index in 0..self.rosters.len() {
            if self.rosters[index].1.is_beat_due() {
                let beat = self.rosters[index].1.beat();
                self.rosters[index].1.said(&beat, None);
                self.say(index, &beat);
            }
            for node in self.rosters[index].1.ask_again() {
                let of = self.rosters.iter().position(|(id, _)| *id == node).unwrap();
                self.answer(index, of);
            }
        }
    }

    fn told(&mut self, gateway: usize) -> Vec<String> {
        let Telling::Now(told) = self.rosters[gateway].1.tell(&Channel::from("room")) else {
            return Vec::new();
        };
        told.names()
    }

    fn members(&mut self, gateway: usize) -> Vec<String> {
        let members = self.rosters[gateway].1.members().unwrap();
        let mut names: Vec<_> = members.iter().map(|member| member.user.to_string()).collect();
        names.sort();
        names
    }

    fn stats(&mut self, gateway: usize) -> (u32, u32) {
        let stats = self.rosters[gateway].1.stats().unwrap();
        (stats.num_clients, stats.num_users)
    }
}

async fn settle() {
    tokio::time::advance(SETTLED_AFTER).await;
}

#[tokio::test(start_paused = true)]
async fn everybody_knows_everybody_and_a_newcomer_is_told_of_nobody() {
    let mut cluster = Cluster::new(2);
    cluster.join(0, "ann");
    cluster.join(0, "bob");
    cluster.flush();
    settle().await;
    assert_eq!(cluster.told(0), ["+ann", "+bob"]);
    cluster.join(1, "cid");
    cluster.flush();
    assert_eq!(cluster.members(1), ["ann", "bob", "cid"]);
    assert_eq!(cluster.told(1), ["+cid"]);
    assert_eq!(cluster.members(0), cluster.members(1));
    assert_eq!(cluster.told(0), ["+cid"]);
    assert!(!cluster.rosters[1].1.is_whole(), "somebody may still answer");
    settle().await;
    assert!(cluster.rosters[1].1.is_whole());
    assert_eq!(cluster.stats(0), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lost_word_delays_what_is_told_and_changes_nothing_of_it() {
    let mut cluster = Cluster::new(2);
    cluster.join(0, "ann");
    let bob = cluster.join(1, "bob");
    cluster.flush();
    settle().await;
    cluster.told(0);
    cluster.lost = 1;
    cluster.leave(1, bob);
    cluster.join(1, "cid");
    cluster.flush();
    assert_eq!(cluster.members(0), ["ann", "bob"]);
    tokio::time::advance(FIRST_BEAT).await;
    cluster.upkeep();
    assert_eq!(cluster.members(0), ["ann", "cid"]);
    assert_eq!(cluster.told(0), ["+cid", "-bob"]);
    cluster.upkeep();
    assert_eq!(cluster.told(0), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_last_leave_that_was_lost_is_asked_for() {
    let mut cluster = Cluster::new(2);
    cluster.join(0, "ann");
    let bob = cluster.join(1, "bob");
    cluster.flush();
    cluster.told(0);
    cluster.lost = 1;
    cluster.leave(1, bob);
    cluster.flush();
    assert!(cluster.rosters[1].1.is_over());
    tokio::time::advance(SILENCE).await;
    let silent = cluster.rosters[0].1.ask_again();
    assert_eq!(silent, [cluster.rosters[1].0]);
    cluster.rosters[0].1.digest(silent[0], Digest::of_nobody("room"));
    assert_eq!(cluster.told(0), ["-bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_gone_takes_its_members_with_it_once() {
    let mut cluster = Cluster::new(3);
    for n in 0..3 {
        cluster.join(0, &format!("a{n}"));
    }
    cluster.join(1, "bob");
    cluster.join(2, "cid");
    cluster.flush();
    settle().await;
    cluster.told(1);
    let gone = cluster.rosters[0].0;
    assert_eq!(cluster.rosters[1].1.forget(gone), 3);
    assert_eq!(cluster.told(1), ["-a0", "-a1", "-a2"]);
    assert_eq!(cluster.rosters[1].1.forget(gone), 0);
    assert_eq!(cluster.told(1), Vec::<String>::new());
    assert_eq!(cluster.members(1), ["bob", "cid"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_workers_are_not_done_with_is_not_overtaken() {
    let mut cluster = Cluster::new(1);
    let ann = cluster.join(0, "ann");
    let channel = Channel::from("room");
    let Telling::Now(first) = cluster.rosters[0].1.tell(&channel) else {
        panic!("nothing is told");
    };
    cluster.leave(0, ann);
    cluster.join(0, "bob");
    assert!(matches!(cluster.rosters[0].1.tell(&channel), Telling::Later));
    assert_eq!(first.names(), ["+ann"]);
    drop(first);
    assert_eq!(cluster.told(0), ["+bob", "-ann"]);
}

#[tokio::test(start_paused = true)]
async fn a_room_over_its_limit_is_counted_until_a_quarter_has_left() {
    let mut cluster = Cluster::new(2);
    let first: Vec<_> = (0..5).map(|n| cluster.join(0, &format!("a{n}"))).collect();
    for _ in 0..3 {
        cluster.join(1, "bob");
    }
    cluster.flush();
    settle().await;
    assert_eq!(cluster.members(1).len(), 8);
    cluster.told(1);

    cluster.join(1, "cid");
    cluster.flush();
    tokio::time::advance(COUNT_PAUSE).await;
    cluster.flush();
    for gateway in 0..2 {
        let roster = &mut cluster.rosters[gateway].1;
        assert_eq!(roster.members(), Err(PresenceError::TooLarge));
        assert_eq!(roster.known().1, 0, "nobody of others is kept");
        // Bob is three times at one gateway and counts once.
        assert_eq!(cluster.stats(gateway), (9, 7));
        assert_eq!(cluster.told(gateway), Vec::<String>::new());
    }
    for client in &first[..3] {
        cluster.leave(0, *client);
    }
    tokio::time::advance(COUNT_PAUSE).await;
    cluster.flush();
    cluster.flush();
    tokio::time::advance(DIGEST_TIMEOUT).await;
    cluster.upkeep();
    cluster.upkeep();
    assert_eq!(cluster.members(0), ["a3", "a4", "bob", "bob", "bob", "cid"]);
    assert_eq!(cluster.members(0), cluster.members(1));
    assert_eq!(cluster.told(0), Vec::<String>::new(), "nobody moved since");
    cluster.join(0, "dan");
    cluster.flush();
    assert_eq!(cluster.told(1), ["+dan"]);
}

#[tokio::test(start_paused = true)]
async fn while_a_room_becomes_small_again_what_is_not_known_yet_is_not_all() {
    let mut cluster = Cluster::new(2);
    let first: Vec<_> = (0..5).map(|n| cluster.join(0, &format!("a{n}"))).collect();
    for _ in 0..4 {
        cluster.join(1, "bob");
    }
    cluster.flush();
    settle().await;
    cluster.flush();
    for client in &first[..3] {
        cluster.leave(0, *client);
    }
    tokio::time::advance(COUNT_PAUSE).await;
    cluster.flush();
    assert!(cluster.rosters[0].1.lists && cluster.rosters[1].1.lists);
    for (_, roster) in &cluster.rosters {
        assert!(!roster.is_whole(), "nobody has said yet who they are");
    }
    cluster.upkeep();
    for gateway in 0..2 {
        assert!(cluster.rosters[gateway].1.is_whole());
        assert_eq!(cluster.members(gateway).len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_into_a_counted_room_counts_it_as_well() {
    let mut cluster = Cluster::new(2);
    let first: Vec<_> = (0..9).map(|n| cluster.join(0, &format!("a{n}"))).collect();
    cluster.flush();
    for client in &first[..2] {
        cluster.leave(0, *client);
    }
    settle().await;
    cluster.flush();
    cluster.join(1, "bob");
    cluster.flush();
    tokio::time::advance(COUNT_PAUSE).await;
    cluster.flush();
    settle().await;
    for gateway in 0..2 {
        let roster = &mut cluster.rosters[gateway].1;
        assert_eq!(roster.members(), Err(PresenceError::TooLarge), "{gateway}");
        assert!(roster.ask_again().is_empty(), "{gateway}");
        assert!(roster.is_whole());
        assert_eq!(cluster.stats(gateway), (8, 8), "{gateway}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_reaches_a_counted_room_counts_its_users() {
    let mut cluster = Cluster::new(2);
    for _ in 0..2 {
        cluster.join(1, "bob");
    }
    cluster.flush();
    for n in 0..9 {
        cluster.join(0, &format!("a{n}"));
    }
    // The other one still lists when it is asked.
    let asking = cluster.rosters[1].1.digests("room", PAGE);
    let from = cluster.rosters[1].0;
    for digest in asking {
        assert!(digest.lists);
        cluster.rosters[0].1.digest(from, digest);
    }
    assert_eq!(cluster.stats(0), (11, 10));
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_nothing_is_whole_before_the_others_were_asked() {
    let mut cluster = Cluster::new(1);
    cluster.join(0, "ann");
    cluster.flush();
    settle().await;
    let roster = &mut cluster.rosters[0].1;
    assert!(roster.is_whole());
    roster.ask_all();
    assert!(!roster.is_whole());
    assert!(roster.ask_again().is_empty(), "the next word asks everybody");
    cluster.flush();
    assert!(cluster.rosters[0].1.is_whole());
}

#[tokio::test(start_paused = true)]
async fn what_is_said_anew_of_a_member_is_known_and_not_told() {
    let mut cluster = Cluster::new(2);
    let ann = Member::fixture("ann");
    cluster.rosters[0].1.join(ann.clone(), POLICY);
    cluster.join(1, "bob");
    cluster.flush();
    settle().await;
    for gateway in 0..2 {
        cluster.told(gateway);
    }
    let again = Arc::new(Member {
        conn_info: Some("1".into()),
        ..(*ann).clone()
    });
    for _ in 0..2 {
        cluster.rosters[0].1.join(again.clone(), POLICY);
        cluster.flush();
    }
    for gateway in 0..2 {
        let members = cluster.rosters[gateway].1.members().unwrap();
        assert_eq!(members.len(), 2);
        assert!(members.contains(&again), "{gateway}");
        assert_eq!(cluster.told(gateway), Vec::<String>::new());
    }
    cluster.leave(0, again.client);
    cluster.flush();
    assert_eq!(cluster.told(1), ["-ann"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_is_followed_without_a_join() {
    let mut cluster = Cluster::new(1);
    for n in 0..5 {
        cluster.join(0, &format!("a{n}"));
    }
    cluster.flush();
    let roster = &mut cluster.rosters[0].1;
    assert!(!roster.follow(POLICY));
    assert!(roster.follow(Policy { limit: 4, ..POLICY }));
    assert_eq!(roster.members(), Err(PresenceError::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn counting_users_anew_costs_as_much_as_reading_them() {
    let policy = Policy {
        limit: READS,
        tells: false,
    };
    let mut roster = Roster::new(policy, 1);
    for n in 0..1_000 {
        roster.join(Member::fixture(&n.to_string()), policy);
    }
    let counted = (0..READS).take_while(|n| {
        roster.join(Member::fixture(&format!("b{n}")), policy);
        roster.stats().is_ok()
    });
    let counted = counted.count();
    assert!((150..=200).contains(&counted), "{counted}");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_joins_is_a_few_messages() {
    let mut roster = Roster::new(
        Policy {
            limit: 20_000,
            tells: false,
        },
        1,
    );
    let policy = roster.policy;
    for n in 0..10_000 {
        roster.join(Member::fixture(&format!("user-{n}")), policy);
    }
    let mut words = 0;
    while let Some((word, until)) = roster.next_word(PAGE) {
        assert!(word.clone().encode().len() < 256 * 1024);
        roster.said(&word, until);
        words += 1;
    }
    assert!((5..12).contains(&words), "{words}");
    assert!(roster.digests("room", PAGE).len() < 12);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_read_so_often_and_no_more() {
    let mut roster = Roster::new(POLICY, 1);
    roster.join(Member::fixture("ann"), POLICY);
    for _ in 0..READS {
        roster.stats().unwrap();
    }
    assert_eq!(roster.stats(), Err(PresenceError::Busy));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(roster.members().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_costs_as_much_as_it_has_members() {
    let mut cluster = Cluster::new(2);
    for (gateway, name) in [(0, "ann"), (0, "bob"), (1, "cid"), (1, "dan")] {
        cluster.join(gateway, name);
    }
    cluster.flush();
    settle().await;
    for _ in 0..READS / 4 {
        assert_eq!(cluster.rosters[0].1.members().unwrap().len(), 4);
    }
    let refused = cluster.rosters[0].1.members().unwrap_err();
    assert_eq!(refused, PresenceError::Busy);
    assert_eq!(cluster.rosters[0].1.stats(), Err(PresenceError::Busy));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(cluster.stats(0), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_and_goes_within_a_window_is_not_mentioned() {
    let mut roster = Roster::new(POLICY, 1);
    let ann = Member::fixture("ann");
    roster.join(ann.clone(), POLICY);
    roster.leave(ann.client);
    assert!(roster.next_word(PAGE).is_none() && roster.is_over());
}
