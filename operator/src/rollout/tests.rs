mod trouble;

use super::*;
use crate::fleet::{
    Sample, Trouble,
    tests::{at, cordoned, draining, marked, revision, serving, silent, starting},
};

const PLAN: Plan = Plan {
    desired: 3,
    max_surge: None,
    rate: 10.0,
    settle: Duration::from_secs(5),
    ready_timeout: Duration::from_mins(5),
};

fn fleet(current: Vec<Gateway>, former: Vec<Gateway>) -> Fleet {
    Fleet {
        current: revision("new", current),
        former: vec![of_before(former)],
    }
}

fn of_before(gateways: Vec<Gateway>) -> Revision {
    Revision {
        made: Some(at(-1_000_000)),
        ..revision("old", gateways)
    }
}

fn new(count: usize) -> Vec<Gateway> {
    (0..count)
        .map(|number| serving(&format!("new-{number}"), 0))
        .collect()
}

fn old(gateways: [Gateway; 3]) -> Vec<Gateway> {
    gateways.into()
}

fn three_serving() -> Vec<Gateway> {
    old([serving("a", 300), serving("b", 100), serving("c", 200)])
}

fn three_cordoned(since: i64) -> Vec<Gateway> {
    [("a", 300), ("b", 100), ("c", 200)]
        .map(|(pod, connections)| cordoned(pod, connections, Why::Roll, since))
        .into()
}

/// The actions as short texts.
fn done(decision: &Decision) -> Vec<String> {
    let seconds = |until: &Timestamp| until.as_second() - at(0).as_second();
    decision
        .actions
        .iter()
        .map(|action| match action {
            Action::Scale { revision, replicas } => format!("scale {revision} {replicas}"),
            Action::Drain { pod, rate, until } => format!("drain {pod} {rate} until {}", seconds(until)),
            Action::Cordon { pod, why } => format!("cordon {pod} {}", why.name()),
            other => format!("{} {}", other.name(), other.pod().unwrap_or_default()),
        })
        .collect()
}

fn decided(fleet: &Fleet) -> Decision {
    decide(fleet, &PLAN, at(0))
}

#[test]
fn a_roll_from_its_beginning_to_its_end() {
    let unready = vec![new(1).remove(0), starting("new-1"), starting("new-2")];
    let steps: [(&str, Fleet, &[&str], &[&str]); 9] = [
        (
            "nothing of it is there yet",
            fleet(vec![], three_serving()),
            &[],
            &[],
        ),
        ("one of three is ready", fleet(unready, three_serving()), &[], &[]),
        (
            "all are ready: all former ones go out of the Service, together",
            fleet(new(3), three_serving()),
            &["cordon b roll", "cordon c roll", "cordon a roll"],
            &[],
        ),
        (
            "load balancers have to notice",
            fleet(new(3), three_cordoned(-4)),
            &[],
            &[],
        ),
        (
            "the emptiest goes first",
            fleet(new(3), three_cordoned(-5)),
            &["drain b 10 until 40"],
            &[],
        ),
        (
            "one at a time",
            fleet(
                new(3),
                old([
                    cordoned("a", 300, Why::Roll, -50),
                    draining("b", 50, Why::Roll, 40),
                    cordoned("c", 20, Why::Roll, -50),
                ]),
            ),
            &[],
            &[],
        ),
        (
            "empty: it is marked, and the next is drained",
            fleet(
                new(3),
                old([
                    cordoned("a", 300, Why::Roll, -50),
                    draining("b", 0, Why::Roll, 40),
                    cordoned("c", 200, Why::Roll, -50),
                ]),
            ),
            &["drain c 10 until 50", "mark b"],
            &[],
        ),
        (
            "the mark is seen: it is removed",
            fleet(
                new(3),
                old([
                    cordoned("a", 300, Why::Roll, -50),
                    marked(draining("b", 0, Why::Roll, 40)),
                    draining("c", 90, Why::Roll, 40),
                ]),
            ),
            &["scale old 2"],
            &[],
        ),
        (
            "the last goes with its Deployment",
            fleet(new(3), vec![draining("a", 0, Why::Roll, 40)]),
            &[],
            &["old"],
        ),
    ];
    for (case, fleet, actions, removed) in steps {
        let decision = decided(&fleet);
        assert_eq!(done(&decision), actions, "{case}");
        assert_eq!(decision.removed, removed, "{case}");
        assert_eq!(decision.replicas, 3, "{case}");
        assert!(!decision.stage.is_done(), "{case}");
    }
    let rolled = Fleet {
        current: revision("new", new(3)),
        former: vec![],
    };
    assert_eq!(decided(&rolled).stage, Stage::Done);
}

#[test]
fn a_gateway_that_does_not_get_empty_is_removed_when_its_time_is_over() {
    let fleet = fleet(new(3), vec![silent(draining("a", 5, Why::Roll, -1))]);
    assert_eq!(decided(&fleet).removed, ["old"]);
}

#[test]
fn an_operator_that_starts_in_the_middle_goes_on_with_the_drain_that_has_begun() {
    // The order was written on the pod, and the call to the gateway never made.
    let mut begun = draining("a", 300, Why::Roll, 55);
    begun.sample.as_mut().unwrap().draining = false;
    let fleet = fleet(
        new(3),
        old([
            begun,
            cordoned("b", 100, Why::Roll, -50),
            cordoned("c", 200, Why::Roll, -50),
        ]),
    );
    let decision = decided(&fleet);
    assert_eq!(done(&decision), ["drain a 10 until 60"]);
    assert_eq!(
        decision.stage,
        Stage::Draining {
            pod: "a".to_owned(),
            connections: 300,
            left: 3
        }
    );
}

#[test]
fn what_is_wrong_with_the_new_gateways_stops_the_drain() {
    let former = || {
        old([
            draining("a", 10, Why::Roll, 50),
            cordoned("b", 100, Why::Roll, -50),
            serving("c", 1),
        ])
    };
    let mut unpulled = starting("new-2");
    unpulled.trouble = Some(Trouble {
        reason: "ImageNotPulled",
        message: "pod new-2: no such image".to_owned(),
    });
    let mut offline = serving("new-2", 0);
    offline.sample = Some(Sample::default());
    for (third, reason) in [
        (unpulled, "ImageNotPulled"),
        (starting("new-2"), "RevisionStarting"),
        (offline, "BusDown"),
        (silent(serving("new-2", 0)), "NoSamples"),
    ] {
        let mut current = new(2);
        current.push(third);
        let decision = decided(&fleet(current, former()));
        assert_eq!(done(&decision), ["pause a"], "{reason}");
        assert_eq!(decision.stage.reason(), reason);
        assert!(decision.removed.is_empty());
    }
}

#[test]
fn the_former_gateways_serve_again_when_no_other_does() {
    let fleet = fleet(
        vec![starting("new-0"), starting("new-1"), starting("new-2")],
        old([
            draining("a", 10, Why::Roll, 50),
            cordoned("b", 100, Why::Scale, -50),
            cordoned("c", 1, Why::Roll, -50),
        ]),
    );
    assert_eq!(
        done(&decided(&fleet)),
        ["accept a", "accept b", "accept c"],
        "for whatever reason they were to go"
    );
}

#[test]
fn former_gateways_are_not_put_back_while_another_revision_serves() {
    let mut fleet = fleet(
        vec![starting("new-0")],
        old([
            draining("a", 10, Why::Roll, 50),
            cordoned("b", 100, Why::Roll, -50),
            cordoned("c", 200, Why::Roll, -50),
        ]),
    );
    fleet.former.push(revision("between", vec![serving("z", 300)]));
    assert_eq!(done(&decided(&fleet)), ["pause a"]);
}

#[test]
fn a_gateway_that_did_not_hear_that_it_is_back_is_told_again() {
    let forgotten = |change: fn(&mut Sample)| {
        let mut gateway = serving("a", 0);
        gateway.ready_since = None;
        change(gateway.sample.as_mut().unwrap());
        gateway
    };
    for gateway in [
        forgotten(|sample| sample.draining = true),
        forgotten(|sample| sample.cordoned = true),
    ] {
        let alone = Fleet {
            current: revision("new", vec![gateway.clone(), serving("b", 1)]),
            former: vec![],
        };
        assert_eq!(done(&decided(&alone)), ["accept a"]);
        // It was put back in need, when no other served.
        let held = fleet(vec![starting("new-0")], vec![gateway, serving("b", 1)]);
        assert_eq!(done(&decided(&held)), ["accept a"]);
    }
}

#[test]
fn a_pause_that_was_not_heard_is_given_again_whyever_the_gateway_goes() {
    let unheard = |why| {
        let mut gateway = draining("a", 10, why, 0);
        gateway.leaving.as_mut().unwrap().until = None;
        gateway
    };
    for why in [Why::Roll, Why::Scale] {
        let fleet = fleet(vec![starting("new-0")], vec![unheard(why), serving("b", 1)]);
        assert_eq!(done(&decided(&fleet)), ["pause a"]);
    }
}

#[test]
fn a_revision_that_never_became_ready_gives_its_room_to_the_next() {
    let bad = |number: usize| {
        (0..number)
            .map(|number| starting(&format!("bad-{number}")))
            .collect::<Vec<_>>()
    };
    let mut fleet = fleet(vec![starting("new-0")], three_serving());
    fleet.former.push(revision("bad", bad(3)));
    let decision = decided(&fleet);
    assert_eq!(decision.removed, ["bad"]);
    assert_eq!(done(&decision), [""; 0]);
    // One of them was ready, and has clients: the others go.
    let mut half = bad(2);
    half[0].marked = true;
    half.push(serving("bad-2", 7));
    fleet.former[1] = revision("bad", half);
    fleet.former[1].completed = false;
    let decision = decided(&fleet);
    assert!(decision.removed.is_empty());
    assert_eq!(done(&decision), ["mark bad-1", "scale bad 2"]);
    // All were ready once, and are started again: they come back.
    fleet.former[1] = revision("good", bad(3));
    fleet.former[1].completed = true;
    let decision = decided(&fleet);
    assert!(decision.removed.is_empty() && decision.actions.is_empty());
    fleet.former[1] = revision("evicted", vec![]);
    fleet.former[1].completed = true;
    assert!(decided(&fleet).removed.is_empty());
}

#[test]
fn nobody_is_drained_while_one_of_them_does_not_answer() {
    let quiet = silent(cordoned("a", 300, Why::Roll, -50));
    let decision = decided(&fleet(
        new(3),
        vec![quiet.clone(), cordoned("b", 100, Why::Roll, -50)],
    ));
    assert_eq!(done(&decision), [""; 0]);
    assert_eq!(
        decision.stage.message(),
        "the roll is held: gateway a does not answer"
    );
    // A drain that has begun goes on.
    let goes_on = decided(&fleet(new(3), vec![quiet, draining("b", 100, Why::Roll, 50)]));
    assert!(goes_on.stage.goes_on() && goes_on.actions.is_empty());
    // With maxSurge as well, the silent one is the last.
    let plan = Plan {
        max_surge: Some(1),
        ..PLAN
    };
    let turns = decide(
        &fleet(
            new(1),
            vec![silent(serving("a", 0)), serving("b", 9), serving("c", 8)],
        ),
        &plan,
        at(0),
    );
    assert_eq!(done(&turns), ["cordon c roll"]);
}

#[test]
fn a_former_gateway_without_the_bus_holds_nothing() {
    let mut former = three_serving();
    for gateway in &mut former {
        gateway.sample.as_mut().unwrap().bus_up = false;
    }
    assert_eq!(
        done(&decided(&fleet(new(3), former))).len(),
        3,
        "the roll may be the repair"
    );
}

#[test]
fn a_roll_in_which_nobody_has_the_bus_is_held_and_not_stalled() {
    let lost = |gateway: Gateway| {
        let mut gateway = gateway;
        gateway.sample.get_or_insert_default().bus_up = false;
        gateway
    };
    let former: Vec<_> = three_serving().into_iter().map(lost).collect();
    let mut away = fleet(vec![lost(starting("new-0"))], former);
    away.current.made = Some(at(-301));
    let stage = decided(&away).stage;
    assert_eq!(stage.reason(), "BusDown");
    assert_eq!(
        stage.message(),
        "the roll is held: bus down: gateway new-0 is not connected to NATS"
    );
    // Others have it: the new revision looks in the wrong place, and a person has to see to that.
    away.former = vec![of_before(three_serving())];
    let stage = decided(&away).stage;
    assert_eq!(stage.reason(), "NotReadyInTime");
    assert!(
        stage
            .message()
            .ends_with("gateway new-0 is not connected to NATS"),
        "{}",
        stage.message()
    );
}

#[test]
fn a_revision_that_takes_too_long_stalls() {
    let mut fleet = fleet(vec![starting("new-0")], three_serving());
    fleet.current.made = Some(at(-301));
    let stage = decided(&fleet).stage;
    assert_eq!(stage.reason(), "NotReadyInTime");
    assert_eq!(
        stage.message(),
        "the roll is stalled: 0 of 3 gateways of revision new are ready after 5m"
    );
    assert!(!stage.goes_on());
}

#[test]
fn a_roll_by_steps_may_take_long_but_each_of_its_gateways_may_not() {
    let after = |max_surge, seconds: i64| {
        let mut last = starting("new-1");
        last.made = Some(at(-seconds));
        let mut fleet = fleet(vec![serving("new-0", 0), last], three_serving());
        fleet.current.made = Some(at(-100_000));
        decide(&fleet, &Plan { max_surge, ..PLAN }, at(0)).stage
    };
    assert!(after(Some(2), 299).goes_on());
    assert_eq!(after(Some(2), 301).reason(), "NotReadyInTime");
    assert_eq!(
        after(None, 10).reason(),
        "NotReadyInTime",
        "pods that are made again and again do not get ready for ever"
    );
}

#[test]
fn the_time_to_become_ready_begins_when_something_was_done_about_it() {
    let stage = |change: fn(&mut Fleet)| {
        let mut unready = serving("new-0", 0);
        (unready.ready_since, unready.unready_since) = (None, Some(at(-2)));
        let mut fleet = fleet(vec![unready, serving("new-1", 0)], three_cordoned(-1_000));
        fleet.current.made = Some(at(-100_000));
        change(&mut fleet);
        decide(&fleet, &Plan { desired: 2, ..PLAN }, at(0)).stage
    };
    assert_eq!(stage(|_| {}).reason(), "NotReadyInTime", "it comes and goes");
    let goes_on: [fn(&mut Fleet); 4] = [
        |fleet| fleet.current.gateways[0].accepted = Some(at(-299)),
        |fleet| fleet.current.gateways[0].sample.as_mut().unwrap().draining = true,
        |fleet| fleet.former[0].gateways[0].leaving.as_mut().unwrap().since = at(-299),
        |fleet| fleet.former[0].gateways[0] = draining("a", 3, Why::Roll, 50),
    ];
    for change in goes_on {
        assert_eq!(stage(change).reason(), "RevisionStarting");
    }
}

#[test]
fn gateways_that_never_answer_need_a_person() {
    let mut fleet = fleet(
        vec![
            serving("new-0", 0),
            serving("new-1", 0),
            silent(serving("new-2", 0)),
        ],
        three_serving(),
    );
    fleet.current.made = Some(at(-301));
    assert_eq!(
        decided(&fleet).stage,
        Stage::Stalled {
            reason: "NoSamples",
            message: "gateway new-2 does not answer".to_owned()
        }
    );
}

#[test]
fn a_label_that_somebody_removed_is_put_right() {
    let mut fleet = fleet(new(3), vec![]);
    fleet.former.clear();
    fleet.current.gateways[1].accepting = false;
    assert_eq!(done(&decided(&fleet)), ["accept new-1"]);
}

#[test]
fn going_back_puts_the_gateways_back() {
    let fleet = fleet(
        old([
            draining("a", 10, Why::Roll, 50),
            cordoned("b", 100, Why::Roll, -50),
            serving("c", 1),
        ]),
        new(3),
    );
    let decision = decided(&fleet);
    assert_eq!(done(&decision), ["accept a", "accept b"]);
    assert_eq!(
        decision.stage.reason(),
        "RevisionStarting",
        "they have to be ready before others go"
    );
}

#[test]
fn a_lower_surge_rolls_in_turns() {
    let plan = Plan {
        max_surge: Some(1),
        ..PLAN
    };
    let next = |current: Vec<Gateway>, former: Vec<Gateway>| {
        let decision = decide(&fleet(current, former), &plan, at(0));
        (decision.replicas, done(&decision))
    };
    let told = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(next(vec![], three_serving()), (1, told(&[])));
    assert_eq!(
        next(new(1), three_serving()),
        (1, told(&["cordon b roll"])),
        "four are one more than three"
    );
    let two_left = || vec![serving("a", 300), serving("c", 200)];
    let mut one_drained = two_left();
    one_drained.push(draining("b", 0, Why::Roll, 40));
    assert_eq!(next(new(1), one_drained), (1, told(&["mark b"])));
    assert_eq!(next(new(1), two_left()), (2, told(&[])), "the next one first");
    assert_eq!(next(new(2), two_left()), (2, told(&["cordon c roll"])));
    assert_eq!(next(new(2), vec![serving("a", 300)]), (3, told(&[])));
    assert_eq!(
        next(new(3), vec![serving("a", 300)]),
        (3, told(&["cordon a roll"]))
    );
}

#[test]
fn several_former_revisions_go_together() {
    let mut fleet = fleet(new(3), vec![serving("a", 30)]);
    fleet
        .former
        .push(revision("older", vec![draining("z", 0, Why::Roll, 50)]));
    let decision = decided(&fleet);
    assert_eq!(done(&decision), ["cordon a roll"]);
    assert_eq!(decision.removed, ["older"]);
}

#[test]
fn what_an_eviction_brought_back_goes_as_well() {
    let mut fleet = fleet(new(3), vec![draining("a", 100, Why::Roll, 50), starting("b")]);
    fleet.former[0].gateways[1].running = false;
    assert_eq!(done(&decided(&fleet)), ["cordon b roll"]);
}

#[test]
fn no_gateways_at_all_is_a_size_like_any_other() {
    let plan = Plan { desired: 0, ..PLAN };
    let decision = decide(&fleet(vec![], three_serving()), &plan, at(0));
    assert_eq!((decision.replicas, decision.actions.len()), (0, 3));
}
