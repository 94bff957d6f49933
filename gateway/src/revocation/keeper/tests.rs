//! A keeper over the embedded bus, step by step, with the worker's inbox in between.

use std::{
    collections::{HashSet, VecDeque},
    future::poll_fn,
    task::Poll,
};

use uuid::Uuid;

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
    store: Arc<Embedded>,
    gateway: Arc<Gateway>,
    epoch: Arc<str>,
}

impl Scene {
    async fn new() -> Self {
        let mut settings = Settings::default();
        settings.rooms.default.as_mut().unwrap().subscribe = Who::Users;
        let gateway = Gateway::without_bus(settings);
        let store = Arc::new(Embedded::new(gateway.node, gateway.clone()));
        let bus: SharedBus = store.clone();
        gateway.attach(bus.clone());
        let epoch = bus.changes(None).await.unwrap().mark.epoch;
        let keeper = Keeper::new(gateway.clone(), bus);
        Self {
            keeper,
            store,
            gateway,
            epoch,
        }
    }

    async fn keep(&self, key: &str, value: bytes::Bytes) -> Kept {
        let keep = Keep {
            key: key.to_owned(),
            value: value.clone(),
            ttl: Duration::from_hours(1),
            only_after: None,
        };
        let sequence = self.keeper.bus.keep(keep).await.unwrap().sequence;
        Kept {
            sequence,
            time: 0,
            key: key.to_owned(),
            value,
        }
    }

    async fn block(&self, user: &str) -> Kept {
        self.rule(Rule::User { user: user.into() }).await
    }

    async fn rule(&self, rule: Rule) -> Kept {
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

    /// The store has the rules of just these users by now.
    async fn kept_are(&self, users: &[&str]) {
        let users: HashSet<_> = users.iter().map(|user| (*user).to_owned()).collect();
        for _ in 0..1_000 {
            let kept = self.keeper.bus.changes(None).await.unwrap().kept;
            let rules = kept.iter().map(|kept| Revocation::decode(&kept.value).unwrap());
            let kept: HashSet<_> = rules
                .filter_map(|kept| kept.rule.user().map(str::to_owned))
                .collect();
            if kept == users {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{users:?} are not kept");
    }

    /// Users that the worker was told to look at.
    async fn told(&self) -> HashSet<String> {
        self.told_of(|concerned| concerned.users.clone()).await
    }

    async fn told_of(&self, pick: impl Fn(&Concerned) -> HashSet<String>) -> HashSet<String> {
        let inbox = self.gateway.inbox(0);
        let notes = poll_fn(|cx| match inbox.poll_take(cx) {
            Poll::Ready(notes) => Poll::Ready(notes),
            Poll::Pending => Poll::Ready(VecDeque::default()),
        });
        let names = notes.await.into_iter().filter_map(|note| match note {
            Note::Command(command) => match &*command {
                Command::Judge { concerned, .. } => Some(pick(concerned)),
                _ => None,
            },
            _ => None,
        });
        names.flatten().collect()
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
    let known = scene.keeper.open.iter().map(|(_, heard)| heard.kept.sequence);
    assert_eq!(known.collect::<Vec<_>>(), [1, 3, 2]);
}

/// Whoever came by other tokens is not looked at; what is known already concerns nobody again.
#[tokio::test]
async fn workers_are_told_which_tokens_are_revoked_once() {
    let mut scene = Scene::new().await;
    scene.keeper.look().await;
    let kept = scene.rule(Rule::Token { uid: "t1".into() }).await;
    let heard = scene.heard(kept);
    scene.keeper.take(vec![heard]).await;
    let tokens = |concerned: &Concerned| concerned.tokens.clone();
    assert_eq!(scene.told_of(tokens).await, HashSet::from(["t1".into()]));
    scene.keeper.look().await;
    assert!(scene.told_of(tokens).await.is_empty());
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
    let open: Vec<_> = scene.keeper.open.iter().map(|(_, heard)| &*heard.epoch).collect();
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

/// A disk was not synced, or a volume restored; then others kept something.
#[tokio::test]
async fn a_store_that_was_set_back_and_has_grown_again_is_told_from_the_one_before() {
    let mut scene = Scene::new().await;
    scene.block("ann").await;
    scene.block("bob").await;
    scene.keeper.look().await;
    scene.store.set_back(1);
    let cat = scene.block("cat").await;
    assert_eq!(cat.sequence, 2, "the number of bob's");
    let heard = scene.heard(cat);
    scene.keeper.take(vec![heard]).await;
    assert!(scene.is_blocked("cat") && scene.is_blocked("bob"));
    assert_eq!(scene.told().await, ["ann", "bob", "cat"].map(String::from).into());
    scene.keeper.confirm();
    assert!(scene.keeper.open.is_empty());
    scene.kept_are(&["ann", "bob", "cat"]).await;
    // Once it is read there, nothing is kept anew any more.
    scene.keeper.look().await;
    scene.keeper.look().await;
    assert_eq!((scene.keeper.lost, scene.keeper.refill.is_none()), (0, true));
    assert_eq!(scene.keeper.mark.as_ref().unwrap().sequence, 3);
}

/// Its number was given to something else, before the store was looked at and after.
#[tokio::test]
async fn what_was_lost_before_it_was_told_is_in_force_and_what_only_has_its_number_confirms_nothing() {
    let mut scene = Scene::new().await;
    scene.block("ann").await;
    scene.keeper.look().await;
    let bob = scene.block("bob").await;
    scene.store.set_back(1);
    let heard = scene.heard(bob.clone());
    scene.block("cat").await;
    scene.keeper.look().await;
    scene.keeper.take(vec![heard]).await;
    scene.keeper.confirm();
    assert!(!scene.is_blocked("bob"), "the store has never told of it");
    assert_eq!(scene.keeper.open.len(), 1, "so it is not confirmed");
    let dan = scene.block("dan").await;
    scene.store.set_back(2);
    let heard = scene.heard(dan);
    scene.keeper.take(vec![heard]).await;
    assert!(scene.is_blocked("dan"));
    scene.keeper.look().await;
    scene.kept_are(&["ann", "cat", "dan"]).await;
}

#[tokio::test]
async fn a_refill_that_was_interrupted_goes_on() {
    let mut scene = Scene::new().await;
    let users = ["ann", "bob", "cat"];
    for user in users {
        scene.block(user).await;
    }
    scene.keeper.look().await;
    scene.store.set_back(0);
    scene.keeper.look().await;
    scene.keeper.refill.as_ref().unwrap().abort();
    tokio::task::yield_now().await;
    assert_eq!(scene.keeper.bus.changes(None).await.unwrap().kept, []);
    scene.keeper.look().await;
    scene.kept_are(&users).await;
}

#[tokio::test]
async fn rules_that_the_store_counts_on_without_are_kept_anew() {
    let mut scene = Scene::new().await;
    let users = ["ann", "bob", "cat"];
    for user in users {
        scene.block(user).await;
    }
    scene.keeper.look().await;
    scene.store.purge();
    scene.keeper.look().await;
    scene.kept_are(&users).await;
    assert!(users.iter().all(|user| scene.is_blocked(user)));
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
