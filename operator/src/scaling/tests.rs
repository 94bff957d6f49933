use super::*;
use crate::fleet::{
    Gateway, Leave, Why,
    tests::{at, cordoned, draining, marked, revision, serving, silent, starting},
};

const AUTOMATIC: Automatic = Automatic {
    min: 2,
    max: 6,
    ceilings: Ceilings {
        connections: 100,
        cpu: None,
        memory: None,
    },
    window: Duration::from_mins(5),
};

fn fleet(gateways: Vec<Gateway>) -> Fleet {
    Fleet {
        current: revision("r", gateways),
        former: vec![],
    }
}

fn with(connections: &[u64]) -> Fleet {
    let gateways = connections.iter().enumerate();
    fleet(
        gateways
            .map(|(number, connections)| serving(&format!("g-{number}"), *connections))
            .collect(),
    )
}

fn memory(desired: usize, lower: Option<(i64, usize)>) -> Memory {
    Memory {
        desired: Some(desired),
        lower: lower.map(|(since, highest)| (at(since), highest)),
        why: "as before".to_owned(),
        ..Memory::default()
    }
}

/// What it is about, the fleet, what was decided before, and what shall be decided: the number, and since when how many have been
/// enough.
type Case = (&'static str, Fleet, Memory, usize, Option<(i64, usize)>);

fn decided(cases: impl IntoIterator<Item = Case>) {
    for (case, fleet, before, desired, lower) in cases {
        let sizing = size(&fleet, &Size::Automatic(AUTOMATIC), &before, at(0));
        assert_eq!(sizing.desired, desired, "{case}");
        assert_eq!(sizing.memory.desired, Some(desired), "{case}");
        let expected = lower.map(|(since, highest): (i64, usize)| (at(since), highest));
        assert_eq!(sizing.memory.lower, expected, "{case}");
    }
}

/// Fewer have been enough for the whole window.
const LONG_AGO: Option<(i64, usize)> = Some((-300, 2));

#[test]
fn up_at_once_and_within_limits() {
    decided([
        ("nothing to do", with(&[90, 90]), memory(2, None), 2, None),
        ("up at once", with(&[101, 100]), memory(2, None), 3, None),
        ("up by several", with(&[300, 250]), memory(2, None), 6, None),
        (
            "not above the maximum",
            with(&[1_000, 0]),
            memory(2, None),
            6,
            None,
        ),
        ("not below the minimum", with(&[0, 0]), memory(2, None), 2, None),
        (
            "a limit that was lowered",
            with(&[0; 8]),
            memory(8, None),
            6,
            Some((0, 2)),
        ),
        (
            "a new operator takes over what is there",
            with(&[60, 60, 60]),
            Memory::default(),
            3,
            Some((0, 2)),
        ),
    ]);
}

#[test]
fn down_when_fewer_were_enough_for_a_while() {
    decided([
        (
            "a lower number has to do for a while",
            with(&[60, 60, 60]),
            memory(3, None),
            3,
            Some((0, 2)),
        ),
        (
            "and still does",
            with(&[60, 60, 60]),
            memory(3, Some((-299, 2))),
            3,
            Some((-299, 2)),
        ),
        ("and did: down", with(&[60, 60, 60]), memory(3, LONG_AGO), 2, None),
        (
            "to what was needed most",
            with(&[10, 10, 10, 10, 10]),
            memory(5, Some((-300, 4))),
            4,
            None,
        ),
        (
            "what is needed most is remembered",
            with(&[70; 5]),
            memory(5, Some((-100, 2))),
            5,
            Some((-100, 4)),
        ),
        (
            "more was needed: the window is over",
            with(&[100, 100, 50]),
            memory(3, Some((-200, 2))),
            3,
            None,
        ),
        (
            "two would be full to the brim",
            with(&[66, 66, 66]),
            memory(3, LONG_AGO),
            3,
            None,
        ),
    ]);
}

#[test]
fn silent_gateways_hold_the_size() {
    let mut gone_silent = with(&[150, 150]);
    gone_silent.current.gateways[1].sample = None;
    let mut frozen = gone_silent.clone();
    frozen.current.gateways[1].ready_since = None;
    let mut all_silent = with(&[150, 150]);
    for gateway in &mut all_silent.current.gateways {
        gateway.sample = None;
    }
    decided([
        (
            "one that is silent holds the size",
            gone_silent.clone(),
            memory(4, LONG_AGO),
            4,
            None,
        ),
        (
            "one that is frozen is no longer ready, and holds it all the same",
            frozen,
            memory(4, LONG_AGO),
            4,
            None,
        ),
        (
            "what the others have is enough for more",
            gone_silent,
            memory(1, None),
            2,
            None,
        ),
        (
            "no samples at all change nothing",
            all_silent,
            memory(4, LONG_AGO),
            4,
            None,
        ),
    ]);
}

#[test]
fn a_gateway_that_was_not_asked_yet_holds_nothing_and_lets_nothing_shrink() {
    let with_last = |ready_since| {
        let mut fleet = with(&[10, 10, 10]);
        let last = fleet.current.gateways.last_mut().unwrap();
        last.sample = None;
        last.ready_since = Some(at(ready_since));
        fleet
    };
    let automatic = Size::Automatic(AUTOMATIC);
    for (since, held) in [(-9, false), (-10, true)] {
        let sizing = size(&with_last(since), &automatic, &memory(3, LONG_AGO), at(0));
        assert_eq!((sizing.desired, sizing.memory.lower), (3, None), "{since}");
        assert_eq!(sizing.held.is_some(), held, "{since}");
    }
}

#[test]
fn nothing_shrinks_in_a_roll_and_former_gateways_count() {
    let mut rolling = with(&[10, 10, 10]);
    rolling.former = vec![revision("former", vec![serving("f", 10)])];
    let mut coming_over = with(&[10, 10]);
    coming_over.former = vec![revision("former", vec![serving("f", 300)])];
    decided([
        ("nothing shrinks in a roll", rolling, memory(3, LONG_AGO), 3, None),
        (
            "connections of former gateways come over",
            coming_over,
            memory(2, None),
            4,
            None,
        ),
    ]);
}

#[test]
fn the_reason_is_kept_until_the_next_decision() {
    let automatic = Size::Automatic(AUTOMATIC);
    let up = size(&with(&[1_234, 0]), &automatic, &memory(2, None), at(0));
    assert_eq!(
        up.memory.why,
        "up from 2: 1200 connections of 100 for each, at most 6"
    );
    let later = size(&with(&[600, 0]), &automatic, &up.memory, at(10));
    assert_eq!(later.memory.why, up.memory.why);
    let down = size(&with(&[10; 6]), &automatic, &memory(6, Some((-300, 2))), at(0));
    assert_eq!(
        down.memory.why,
        "down from 6: 60 connections of 100 for each for 5m"
    );
    let held = size(
        &fleet(vec![silent(serving("g", 1))]),
        &automatic,
        &up.memory,
        at(0),
    );
    assert_eq!(
        held.held.unwrap().message,
        "gateway g does not say how many connections it has"
    );
}

#[test]
fn the_size_is_held_while_the_bus_is_away() {
    let automatic = Size::Automatic(AUTOMATIC);
    let lost = |connections: &[u64], without: usize| {
        let mut fleet = with(connections);
        for gateway in &mut fleet.current.gateways[..without] {
            gateway.sample.as_mut().unwrap().bus_up = false;
        }
        let sizing = size(&fleet, &automatic, &memory(3, LONG_AGO), at(0));
        let held = sizing.held.map(|held| (held.reason, held.message));
        (sizing.desired, sizing.memory.lower, held)
    };
    let said = |text: &str| Some(("BusDown", text.to_owned()));
    assert_eq!(
        lost(&[600, 600], 2),
        (3, None, said("bus down: 0 of 2 gateways are connected to NATS")),
        "nothing is known of the load"
    );
    assert_eq!(lost(&[600, 0], 1).0, 6, "the others' clients may not wait");
    assert_eq!(
        lost(&[1, 1], 1),
        (3, None, said("bus down: gateway g-0 is not connected to NATS"))
    );
    assert_eq!(lost(&[1, 1], 0).0, 2);
}

#[test]
fn a_roll_waits_for_as_many_as_there_should_be_when_it_began() {
    let mut rolling = with(&[150, 150]);
    rolling.former = vec![revision("former", vec![serving("f", 10)])];
    let automatic = Size::Automatic(AUTOMATIC);
    let began = size(&rolling, &Size::Fixed(2), &memory(2, None), at(0)).memory;
    assert_eq!(began.roll, Some(2));
    let raised = size(&rolling, &automatic, &began, at(1));
    assert_eq!((raised.desired, raised.memory.roll), (4, Some(2)));
    assert_eq!(raised.of_roll(), 2);
    for desired in [1, 0] {
        let lowered = size(&rolling, &Size::Fixed(desired), &raised.memory, at(2));
        assert_eq!(lowered.of_roll(), desired);
        let again = size(&rolling, &Size::Fixed(3), &lowered.memory, at(3));
        assert_eq!(again.of_roll(), 2, "it is lower for as long as it is wanted");
    }
    let from_nothing = size(&rolling, &Size::Fixed(0), &memory(2, None), at(0)).memory;
    let raised_then = size(&rolling, &Size::Fixed(3), &from_nothing, at(1));
    assert_eq!(raised_then.of_roll(), 1, "clients need somewhere to go");
    let over = size(&with(&[150, 150]), &automatic, &raised.memory, at(9));
    assert_eq!(over.memory.roll, None);
}

#[test]
fn a_fixed_size_is_what_the_spec_says() {
    let sizing = size(
        &with(&[1_000, 1_000]),
        &Size::Fixed(3),
        &memory(2, Some((-300, 1))),
        at(0),
    );
    assert_eq!(
        (sizing.desired, sizing.memory.lower, sizing.held),
        (3, None, None)
    );
}

fn leave() -> Leave {
    Leave {
        why: Why::Scale,
        settle: Duration::from_secs(5),
        rate: 10.0,
        heard: true,
        now: at(0),
    }
}

fn shrunk(gateways: Vec<Gateway>, desired: usize, may_drain: bool) -> (usize, Vec<String>) {
    let shrink = shrink(&revision("r", gateways), desired, &leave(), may_drain);
    let texts = shrink
        .actions
        .iter()
        .map(|action| format!("{} {}", action.name(), action.pod().unwrap_or_default()));
    (shrink.replicas, texts.collect())
}

#[test]
fn the_emptiest_goes_step_by_step() {
    let going = |since| cordoned("b", 10, Why::Scale, since);
    for (case, third, replicas, actions) in [
        ("the fewest connections", serving("b", 10), 3, vec!["cordon b"]),
        ("load balancers have to notice", going(-4), 3, vec![]),
        ("it is drained", going(-5), 3, vec!["drain b"]),
        (
            "it has connections left",
            draining("b", 3, Why::Scale, 20),
            3,
            vec![],
        ),
        ("it is empty", draining("b", 0, Why::Scale, 20), 3, vec!["mark b"]),
        (
            "its time is over",
            draining("b", 3, Why::Scale, 0),
            3,
            vec!["mark b"],
        ),
        (
            "the mark is seen",
            marked(draining("b", 0, Why::Scale, 20)),
            2,
            vec![],
        ),
    ] {
        let result = shrunk(vec![serving("a", 20), third, serving("c", 30)], 2, true);
        assert_eq!(result.0, replicas, "{case}");
        assert_eq!(result.1, actions, "{case}");
    }
}

#[test]
fn who_has_nobody_goes_first_and_who_does_not_answer_stays() {
    let gateways = || vec![serving("a", 20), silent(serving("b", 0)), starting("c")];
    assert_eq!(shrunk(gateways(), 2, true).1, ["cordon c"]);
    assert_eq!(shrunk(gateways(), 1, true).1, ["cordon c", "cordon a"]);
    assert_eq!(shrunk(gateways(), 0, true).1, ["cordon c", "cordon a"]);
    let frozen = Gateway {
        ready_since: None,
        unready_since: Some(at(-300)),
        ..silent(serving("b", 0))
    };
    assert_eq!(shrunk(vec![serving("a", 0), frozen], 1, true).1, ["cordon b"]);
}

#[test]
fn a_full_gateway_that_is_not_ready_for_a_moment_is_not_the_emptiest() {
    let full = Gateway {
        ready_since: None,
        unready_since: Some(at(-4)),
        ..serving("full", 9_000)
    };
    assert_eq!(shrunk(vec![full, serving("idle", 3)], 1, true).1, ["cordon idle"]);
}

#[test]
fn a_fixed_number_is_held_by_who_does_not_answer() {
    let held = |gateways: Vec<Gateway>, desired| {
        let shrink = shrink(&revision("r", gateways), desired, &leave(), true);
        (shrink.actions.len(), shrink.held.map(|held| held.reason))
    };
    let quiet = || silent(serving("a", 0));
    let missing = Some("SamplesMissing");
    assert_eq!(held(vec![quiet(), quiet()], 1), (0, missing));
    let going = || cordoned("b", 10, Why::Scale, -50);
    assert_eq!(held(vec![quiet(), going()], 1), (0, missing));
    assert_eq!(held(vec![quiet(), silent(going())], 1), (0, missing));
    let new = Gateway {
        ready_since: Some(at(-9)),
        ..quiet()
    };
    assert_eq!(held(vec![new, going()], 1), (0, None), "it was not asked yet");
    assert_eq!(held(vec![quiet(), quiet()], 2), (0, None), "nobody shall go");
}

#[test]
fn the_way_back_comes_before_new_gateways() {
    let gateways = || {
        vec![
            serving("a", 20),
            draining("b", 5, Why::Scale, 20),
            cordoned("c", 9, Why::Scale, -1),
        ]
    };
    assert_eq!(shrunk(gateways(), 2, true), (3, vec!["accept c".to_owned()]));
    assert_eq!(
        shrunk(gateways(), 4, true),
        (4, vec!["accept c".to_owned(), "accept b".to_owned()])
    );
}

#[test]
fn a_wrong_pod_removed_is_made_good() {
    // The Deployment removed a gateway that should have stayed: the victim is still there, and is put back.
    let gateways = vec![serving("a", 20), marked(draining("b", 0, Why::Scale, 20))];
    assert_eq!(shrunk(gateways, 2, true), (2, vec!["accept b".to_owned()]));
}

#[test]
fn drains_pause_while_they_may_not_be() {
    let gateways = vec![
        serving("a", 20),
        serving("d", 1),
        draining("b", 5, Why::Scale, 20),
    ];
    assert_eq!(shrunk(gateways, 1, false), (3, vec!["pause b".to_owned()]));
}

#[test]
fn texts_have_two_digits() {
    for (number, rounded) in [(0, 0), (7, 7), (99, 99), (123, 120), (98_765, 98_000)] {
        assert_eq!(super::need::rounded(number), rounded);
    }
}
