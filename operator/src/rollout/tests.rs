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
        former: vec![revision("old", former)],
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
    assert_eq!(done(&decision), ["drain a 10 until 55"]);
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
            cordoned("b", 100, Why::Roll, -50),
            serving("c", 1),
        ]),
    );
    assert_eq!(done(&decided(&fleet)), ["accept a", "accept b"]);
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
    away.former = vec![revision("old", three_serving())];
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
    let after = |seconds: i64| {
        let mut last = starting("new-1");
        last.made = Some(at(-seconds));
        let mut fleet = fleet(vec![serving("new-0", 0), last], three_serving());
        fleet.current.made = Some(at(-100_000));
        decided(&fleet).stage
    };
    assert!(after(299).goes_on(), "{:?}", after(299));
    assert_eq!(after(301).reason(), "NotReadyInTime");
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
