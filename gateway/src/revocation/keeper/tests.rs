//! A keeper over the embedded bus, step by step, with the worker's inbox in between.

use std::{
    collections::{HashSet, VecDeque},
    future::poll_fn,
    task::Poll,
};

use super::*;
use crate::{
    bus::{BusEvents, Embedded},
    config::{Settings, Who},
    publication::Publication,
    revocation::Rule,
};

const KEY: &str = "user.YW5u";

struct Scene {
    keeper: Keeper,
    gateway: Arc<Gateway>,
    epoch: Arc<str>,
}

impl Scene {
    async fn new() -> Self {
        let mut settings = Settings::default();
        settings.rooms.default.as_mut().unwrap().subscribe = Who::Users;
        let gateway = Gateway::without_bus(settings);
        let bus: SharedBus = Arc::new(Embedded::new(gateway.node, gateway.clone()));
        gateway.attach(bus.clone());
        let epoch = bus.changes(None).await.unwrap().mark.epoch;
        let keeper = Keeper {
            gateway: gateway.clone(),
            status: bus.status(),
            bus,
            mark: None,
            known_at: Instant::now(),
            open: Vec::new(),
            looks: 0,
            was_current: false,
        };
        Self {
            keeper,
            gateway,
            epoch,
        }
    }

    async fn keep(&self, key: &str, value: bytes::Bytes) -> Kept {
        let keep = Keep {
            key: key.to_owned(),
            value: value.clone(),
            ttl: Duration::from_hours(1),
            only_new: false,
        };
        let sequence = self.keeper.bus.keep(keep).await.unwrap().sequence;
        Kept {
            sequence,
            key: key.to_owned(),
            value,
        }
    }

    async fn block(&self, user: &str) -> Kept {
        let rule = Rule::User { user: user.into() };
        let revocation = Revocation {
            created_at: 0,
            expire_at: unix_now() + 3_600,
            rule,
        };
        self.keep(&revocation.rule.key(), revocation.encode()).await
    }

    fn is_blocked(&self, user: &str) -> bool {
        self.gateway.revocations.judge(user, None).is_some()
    }

    /// Users that the worker was told to look at.
    async fn told(&self) -> HashSet<String> {
        let inbox = self.gateway.inbox(0);
        let notes = poll_fn(|cx| match inbox.poll_take(cx) {
            Poll::Ready(notes) => Poll::Ready(notes),
            Poll::Pending => Poll::Ready(VecDeque::default()),
        });
        let users = notes.await.into_iter().filter_map(|note| match note {
            Note::Command(command) => match &*command {
                Command::Judge { concerned, .. } => Some(concerned.users.clone()),
                _ => None,
            },
            _ => None,
        });
        users.flatten().collect()
    }

    fn heard(&self, kept: Kept) -> Heard {
        Heard {
            epoch: self.epoch.clone(),
            kept,
            from: self.gateway.node,
            question: Uuid::new_v4(),
        }
    }
}

#[tokio::test]
async fn what_was_told_in_another_order_is_in_force_all_the_same() {
    let mut scene = Scene::new().await;
    scene.keeper.look().await;
    let (first, second, third) = (
        scene.block("ann").await,
        scene.block("bob").await,
        scene.block("cat").await,
    );
    // The next one needs no question to the bus; the third shows that one is missing, which is then asked for.
    let heard = scene.heard(first);
    scene.keeper.take(vec![heard]).await;
    assert_eq!(scene.told().await, HashSet::from(["ann".into()]));
    assert!(scene.is_blocked("ann") && !scene.is_blocked("bob"));
    let heard = scene.heard(third);
    scene.keeper.take(vec![heard]).await;
    assert!(scene.is_blocked("bob") && scene.is_blocked("cat"));
    assert_eq!(scene.told().await, HashSet::from(["bob".into(), "cat".into()]));
    // What comes late says nothing new.
    let heard = scene.heard(second);
    scene.keeper.take(vec![heard]).await;
    assert!(scene.told().await.is_empty());
    let known = scene.keeper.open.iter().map(|(change, ..)| change.sequence);
    assert_eq!(known.collect::<Vec<_>>(), [1, 3, 2]);
}

/// A number of another store says nothing of this one, however far it is.
#[tokio::test]
async fn only_changes_of_the_store_that_is_known_are_confirmed() {
    let mut scene = Scene::new().await;
    let ann = scene.block("ann").await;
    scene.block("bob").await;
    scene.keeper.look().await;
    let of_here = scene.heard(ann.clone());
    let of_another = Heard {
        epoch: "another".into(),
        ..scene.heard(ann)
    };
    scene.keeper.take(vec![of_another, of_here]).await;
    scene.keeper.confirm();
    let open: Vec<_> = scene
        .keeper
        .open
        .iter()
        .map(|(change, ..)| &*change.epoch)
        .collect();
    assert_eq!(open, ["another"]);
}

#[tokio::test]
async fn an_end_is_told_and_what_cannot_be_read_is_left() {
    let mut scene = Scene::new().await;
    scene.block("ann").await;
    scene.keep("user.garbage", "{".into()).await;
    scene.keeper.look().await;
    assert!(scene.is_blocked("ann"));
    scene.keep(KEY, bytes::Bytes::new()).await;
    scene.keeper.look().await;
    assert!(!scene.is_blocked("ann"));
}

#[tokio::test]
async fn another_store_is_filled_with_what_is_known() {
    let mut scene = Scene::new().await;
    scene.block("ann").await;
    scene.keeper.look().await;
    scene.keeper.bus = Arc::new(Embedded::new(scene.gateway.node, scene.gateway.clone()));
    scene.keeper.status = scene.keeper.bus.status();
    scene.block("bob").await;
    scene.keeper.look().await;
    assert!(scene.is_blocked("ann") && scene.is_blocked("bob"));
    let known = async || scene.keeper.bus.changes(None).await.unwrap().kept.len();
    while known().await < 2 {
        tokio::task::yield_now().await;
    }
}

/// Too long away for the ends of rules to be kept: what is not kept any more has ended.
#[tokio::test(start_paused = true)]
async fn after_long_everything_is_read_and_the_rest_forgotten() {
    let mut scene = Scene::new().await;
    scene.keeper.look().await;
    let kept = scene.block("ann").await;
    let heard = scene.heard(kept);
    scene.keeper.take(vec![heard]).await;
    assert!(scene.is_blocked("ann"));
    tokio::time::advance(TOO_LONG).await;
    scene.keeper.look().await;
    assert!(
        !scene.is_blocked("ann"),
        "the store has forgotten it after an hour"
    );
}

/// A room with access rules gets nothing while it is not known what is revoked; deliveries may come on another connection than news.
#[tokio::test(start_paused = true)]
async fn without_a_lease_publications_are_withheld() {
    let mut scene = Scene::new().await;
    let publish = |offset| {
        let mut publication = Publication::new("1");
        publication.offset = offset;
        scene.gateway.publication("room", publication)
    };
    let withheld = || {
        let text = scene.gateway.metrics.encode().unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("natter_publications_withheld_total"));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert!(publish(0).is_ok(), "an ephemeral room's is dropped");
    assert!(publish(1).is_err(), "a durable room's comes again");
    assert_eq!(withheld(), "2");
    scene.keeper.look().await;
    assert!(publish(0).is_ok() && publish(1).is_ok());
    tokio::time::advance(Duration::from_secs(5)).await;
    publish(0).unwrap();
    assert_eq!(withheld(), "3");
}
