use super::*;

const LIFE: u64 = 3;

fn word(seq: u64, clients: u32, said: Said) -> Word {
    Word {
        place: Place { life: LIFE, seq },
        clients,
        said,
        asks: false,
    }
}

fn joined(seq: u64, clients: u32, members: &[&Arc<Member>]) -> Word {
    let joined = members.iter().map(|member| (***member).clone()).collect();
    word(seq, clients, Said::Changed { joined, left: vec![] })
}

fn left(seq: u64, clients: u32, members: &[&Arc<Member>]) -> Word {
    let left = members.iter().map(|member| member.client).collect();
    word(seq, clients, Said::Changed { joined: vec![], left })
}

fn digest(seq: u64, members: &[&Arc<Member>]) -> Digest {
    Digest {
        channel: "room".into(),
        place: Some(Place { life: LIFE, seq }),
        clients: u32::try_from(members.len()).unwrap(),
        users: 0,
        lists: true,
        page: 0,
        pages: 1,
        members: members.iter().map(|member| (***member).clone()).collect(),
    }
}

fn names(changes: &mut Changes) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Joined(member) => format!("+{}", member.user),
        Change::Renewed(member) => format!("~{}", member.user),
        Change::Left(member) => format!("-{}", member.user),
    };
    let mut names: Vec<_> = changes.take().iter().map(name).collect();
    names.sort();
    names
}

struct Scene {
    other: Other,
    told: Changes,
}

impl Scene {
    fn new() -> Self {
        Self {
            other: Other::new(true),
            told: Changes::default(),
        }
    }

    fn hear(&mut self, word: Word) -> Fit {
        self.other.hear(word, true, &mut self.told)
    }

    fn digest(&mut self, digest: Digest) -> Fit {
        self.other.digest(digest, true, &mut self.told)
    }

    fn told(&mut self) -> Vec<String> {
        names(&mut self.told)
    }
}

#[tokio::test(start_paused = true)]
async fn words_in_order_are_taken_and_repeats_are_not() {
    let (ann, bob) = (Member::fixture("ann"), Member::fixture("bob"));
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    assert_eq!(scene.hear(joined(2, 2, &[&bob])), Fit::Fits);
    assert_eq!(scene.told(), ["+ann", "+bob"]);
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    assert_eq!(scene.hear(word(2, 2, Said::Beat)), Fit::Fits);
    assert_eq!(scene.hear(left(3, 1, &[&ann])), Fit::Fits);
    assert_eq!(scene.told(), ["-ann"]);
    assert_eq!(scene.other.clients(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_word_would_have_told_is_told_by_the_digest() {
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(Member::fixture);
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    // The second, by which Ann left and Bob came, is lost.
    assert_eq!(scene.hear(joined(3, 2, &[&cid])), Fit::Asks);
    assert_eq!(scene.hear(left(4, 1, &[&bob])), Fit::Fits);
    assert_eq!(scene.told(), ["+ann"]);
    assert_eq!(scene.digest(digest(3, &[&bob, &cid])), Fit::Fits);
    // Bob came and went between two states: nobody was told of him.
    assert_eq!(scene.told(), ["+cid", "-ann"]);
    assert_eq!(scene.other.members().unwrap().len(), 1);
    assert!(scene.other.asked_at().is_none());
    // A digest that nobody waits for changes nothing.
    assert_eq!(scene.digest(digest(9, &[&ann])), Fit::Fits);
    assert_eq!(scene.told(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_last_word_that_was_lost_is_noticed_by_the_beat() {
    let ann = Member::fixture("ann");
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    assert_eq!(scene.hear(word(2, 1, Said::Beat)), Fit::Asks);
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    assert_eq!(
        scene.hear(word(1, 2, Said::Beat)),
        Fit::Asks,
        "another number of members"
    );
}

#[tokio::test(start_paused = true)]
async fn pages_make_one_digest_and_a_hole_behind_it_asks_again() {
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(Member::fixture);
    let mut scene = Scene::new();
    scene.other.ask(Instant::now());
    assert_eq!(scene.hear(joined(7, 3, &[&cid])), Fit::Fits);
    let page = |page, member| Digest {
        page,
        pages: 2,
        clients: 2,
        ..digest(5, &[member])
    };
    assert_eq!(scene.digest(page(0, &ann)), Fit::Fits);
    assert_eq!(scene.digest(page(0, &ann)), Fit::Fits, "it was asked for twice");
    assert_eq!(scene.told(), Vec::<String>::new());
    assert_eq!(scene.digest(page(1, &bob)), Fit::Asks, "6 is missing");
    assert_eq!(scene.told(), ["+ann", "+bob"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_words_behind_a_question_ask_again() {
    let mut scene = Scene::new();
    scene.other.ask(Instant::now());
    for seq in 2..=MAX_WAITING as u64 + 2 {
        assert_eq!(scene.hear(joined(seq, 0, &[])), Fit::Fits);
    }
    assert_eq!(scene.digest(digest(1, &[])), Fit::Asks);
}

#[tokio::test(start_paused = true)]
async fn another_life_of_the_room_begins_with_nobody() {
    let (ann, bob) = (Member::fixture("ann"), Member::fixture("bob"));
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    assert_eq!(scene.told(), ["+ann"]);
    let mut next = joined(1, 1, &[&bob]);
    next.place.life += 1;
    assert_eq!(scene.hear(next), Fit::Fits);
    assert_eq!(scene.told(), ["+bob", "-ann"]);
    assert_eq!(scene.hear(left(2, 0, &[&ann])), Fit::Fits, "of the former life");
    assert_eq!(scene.told(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_leave_of_several_words_is_told_whole() {
    let (ann, bob) = (Member::fixture("ann"), Member::fixture("bob"));
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 2, &[&ann, &bob])), Fit::Fits);
    assert_eq!(scene.hear(left(2, 0, &[&ann])), Fit::Fits);
    assert!(!scene.other.is_gone(), "Bob is still there");
    assert_eq!(scene.hear(left(3, 0, &[&bob])), Fit::Fits);
    assert!(scene.other.is_gone());
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_has_nobody_any_more_says_so() {
    let ann = Member::fixture("ann");
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    scene.other.ask(Instant::now());
    assert_eq!(scene.digest(Digest::of_nobody("room")), Fit::Fits);
    assert_eq!(scene.told(), Vec::<String>::new(), "she came and went");
    assert!(scene.other.is_gone());
}

#[tokio::test(start_paused = true)]
async fn whoever_was_there_before_is_not_announced() {
    let (ann, bob) = (Member::fixture("ann"), Member::fixture("bob"));
    let mut scene = Scene::new();
    scene.other = Other::new(false);
    assert_eq!(scene.hear(joined(5, 2, &[&bob])), Fit::Asks);
    assert_eq!(scene.digest(digest(5, &[&ann, &bob])), Fit::Fits);
    assert_eq!(scene.told(), ["+bob"], "he was named");
    assert_eq!(scene.hear(left(6, 1, &[&ann])), Fit::Fits);
    assert_eq!(scene.told(), ["-ann"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_large_room_only_numbers_are_kept() {
    let ann = Member::fixture("ann");
    let mut scene = Scene::new();
    assert_eq!(scene.hear(joined(1, 1, &[&ann])), Fit::Fits);
    let fit = scene
        .other
        .hear(word(9, 70, Said::Counts { users: 60 }), false, &mut scene.told);
    assert_eq!(fit, Fit::Fits);
    assert_eq!((scene.other.clients(), scene.other.users()), (70, 60));
    assert!(scene.other.members().is_none());
    assert_eq!(
        scene.hear(joined(10, 1, &[&ann])),
        Fit::Asks,
        "it is listed again"
    );
}
