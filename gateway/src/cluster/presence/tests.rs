//! A gateway that asks others, which answer when the test says so.

use natter_protocol::ClientInfo;
use tokio::{
    task::{JoinHandle, yield_now},
    time::advance,
};

use super::*;
use crate::{
    cluster::{NodeInfo, message::Announcement},
    config::Settings,
};

const LIMIT: usize = 1_000;
/// How often the tasks of a test have their turn until it takes them to be stuck.
const TURNS: usize = 1_000;

struct Scene {
    gateway: Arc<Gateway>,
    /// The other gateway.
    other: Uuid,
}

impl Scene {
    fn new() -> Self {
        let gateway = Gateway::embedded(Settings::default());
        let other = Uuid::new_v4();
        let info = NodeInfo {
            uid: other,
            name: "other".into(),
            version: "1".into(),
            num_clients: 0,
            num_users: 0,
            num_subs: 0,
            num_channels: 0,
            uptime: 0,
        };
        gateway.cluster.nodes.hear(Announcement {
            info,
            tells_members: true,
            counts_users: true,
            heeds_revocations: true,
        });
        Self { gateway, other }
    }

    /// Somebody asks how many are in a room.
    fn ask(&self, channel: &str) -> JoinHandle<Result<PresenceStats, PresenceError>> {
        let (gateway, channel) = (self.gateway.clone(), channel.to_owned());
        tokio::spawn(async move { gateway.member_stats(&channel, LIMIT).await })
    }

    /// Waits until so many questions are open.
    async fn questions(&self, count: usize) -> Vec<Uuid> {
        let open = || self.gateway.cluster.members.questions();
        turns(|| open().len() == count).await;
        open()
    }

    /// Rooms that are asked about or were.
    fn rooms(&self) -> usize {
        self.gateway.cluster.presence_surveys.rooms.lock().asked.len()
    }

    /// The other gateway answers what is open.
    async fn answer(&self, users: &[&str]) {
        let [survey] = self.questions(1).await[..] else {
            panic!("several questions")
        };
        let members = users.iter().map(|user| member(user));
        let part = MembersPart {
            clients: 0,
            users: 0,
            members: members.collect(),
        };
        let members = &self.gateway.cluster.members;
        members.collect(survey, self.other, part, true);
    }

    /// How often all gateways were asked so far.
    fn asked(&self) -> usize {
        let text = self.gateway.metrics.encode().unwrap();
        let counted = text
            .lines()
            .find_map(|line| line.strip_prefix("natter_presence_reads_total{source=\"elsewhere\"} "));
        counted.unwrap().parse().unwrap()
    }
}

/// Lets the other tasks go on until something holds; no time passes.
async fn turns(until: impl Fn() -> bool) {
    for _ in 0..TURNS {
        if until() {
            return;
        }
        yield_now().await;
    }
    panic!("the tasks are stuck");
}

fn member(user: &str) -> Member {
    let info = ClientInfo {
        user,
        ..ClientInfo::default()
    };
    Member::new(Uuid::new_v4(), &info)
}

fn stats(clients: u32, users: u32) -> PresenceStats {
    PresenceStats {
        num_clients: clients,
        num_users: users,
    }
}

const REFUSED: PresenceError = PresenceError::Survey(SurveyError::Bus(BusError::Overloaded));
const SILENT: PresenceError = PresenceError::Survey(SurveyError::Timeout);

#[tokio::test(start_paused = true)]
async fn whoever_asks_within_a_second_shares_a_question() {
    let scene = Scene::new();
    let asking: Vec<_> = (0..1_000).map(|_| scene.ask("room")).collect();
    scene.answer(&["ann", "ann", "bob"]).await;
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Ok(stats(3, 2)));
    }
    advance(SERVES * 9 / 10).await;
    let members = scene.gateway.members("room", LIMIT).await.unwrap();
    assert_eq!((members.len(), scene.asked()), (3, 1));

    advance(SERVES / 10).await;
    let asked = scene.ask("room");
    scene.answer(&["cid"]).await;
    assert_eq!(asked.await.unwrap(), Ok(stats(1, 1)));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn rooms_do_not_share_their_questions() {
    let scene = Scene::new();
    let asking = [scene.ask("one"), scene.ask("two")];
    assert_eq!(scene.questions(2).await.len(), 2);
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Err(SILENT));
    }
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_outlives_whoever_asked_first() {
    let scene = Scene::new();
    let (first, second) = (scene.ask("room"), scene.ask("room"));
    scene.questions(1).await;
    first.abort();
    scene.answer(&["ann"]).await;
    assert_eq!(second.await.unwrap(), Ok(stats(1, 1)));
    // Also when nobody is left who waits.
    advance(SERVES).await;
    let third = scene.ask("room");
    scene.questions(1).await;
    third.abort();
    scene.answer(&["ann", "bob"]).await;
    scene.questions(0).await;
    assert_eq!(scene.gateway.member_stats("room", LIMIT).await, Ok(stats(2, 2)));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_read_so_often_and_no_more() {
    let scene = Scene::new();
    let asked = scene.ask("room");
    scene.answer(&["ann"; 100]).await;
    asked.await.unwrap().unwrap();
    for _ in 1..READS / 100 {
        assert_eq!(scene.gateway.member_stats("room", LIMIT).await, Ok(stats(100, 1)));
    }
    let refused = scene.gateway.members("room", LIMIT).await.unwrap_err();
    assert_eq!(
        (refused, refused.code()),
        (PresenceError::Busy, ErrorCode::TooManyRequests)
    );
    assert_eq!(scene.asked(), 1);
    advance(SERVES).await;
    let asked = scene.ask("room");
    scene.answer(&["ann"]).await;
    assert_eq!(asked.await.unwrap(), Ok(stats(1, 1)));
}

#[tokio::test(start_paused = true)]
async fn own_members_are_as_they_are_now() {
    let scene = Scene::new();
    let asked = scene.ask("room");
    scene.answer(&["ann"]).await;
    assert_eq!(asked.await.unwrap(), Ok(stats(1, 1)));
    let bob = member("bob");
    let (client, live) = (bob.client, scene.gateway.live());
    let namespace = live.namespace("room").unwrap();
    scene.gateway.presence.join(&"room".into(), namespace, bob);
    assert_eq!(scene.gateway.member_stats("room", LIMIT).await, Ok(stats(2, 2)));
    scene.gateway.presence.leave(&"room".into(), client);
    assert_eq!(scene.gateway.member_stats("room", LIMIT).await, Ok(stats(1, 1)));
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_rooms_are_asked_about_in_a_second() {
    let scene = Scene::new();
    let asking: Vec<_> = (0..MAX_ROOMS)
        .map(|room| scene.ask(&format!("room-{room}")))
        .collect();
    scene.questions(MAX_SURVEYS).await;
    turns(|| scene.rooms() == MAX_ROOMS).await;
    let more = scene.gateway.member_stats("one-more", LIMIT).await;
    assert_eq!(more, Err(REFUSED));
    assert_eq!(REFUSED.code(), ErrorCode::TooManyRequests);
    assert_eq!(scene.asked(), MAX_SURVEYS);
    // Nobody answers. Those that wait for their turn do not wait longer than those that have it.
    for asked in asking {
        let refused = asked.await.unwrap().unwrap_err();
        assert!(refused == SILENT || refused == REFUSED, "{refused}");
    }
    assert_eq!(SILENT.code(), ErrorCode::Internal);
    assert_eq!(scene.rooms(), MAX_ROOMS, "they are dropped when there is need");
    let asked = scene.ask("one-more");
    scene.answer(&["ann"]).await;
    assert_eq!(asked.await.unwrap(), Ok(stats(1, 1)));
    advance(SERVES).await;
    scene.gateway.cluster.drop_answers();
    assert_eq!(scene.rooms(), 0);
}
