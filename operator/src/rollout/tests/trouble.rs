//! A roll whose current gateways are in trouble: what still goes, and when a person is told.

use super::*;

#[test]
fn what_is_empty_goes_though_the_current_revision_is_in_trouble() {
    let crashed = Gateway {
        running: false,
        ..cordoned("b", 7, Why::Roll, -50)
    };
    let former = || vec![draining("a", 0, Why::Roll, 50), crashed.clone(), serving("c", 9)];
    let current = |serving: usize| {
        let mut current = new(serving);
        current.push(starting("new-2"));
        current
    };
    let decision = decided(&fleet(current(2), former()));
    assert_eq!(done(&decision), ["mark a", "mark b"]);
    assert_eq!(decision.stage.reason(), "RevisionStarting");
    let marked_ones = former().into_iter().map(marked).collect();
    assert_eq!(done(&decided(&fleet(current(2), marked_ones))), ["scale old 1"]);
    let last = fleet(current(2), vec![draining("a", 0, Why::Roll, 50)]);
    assert_eq!(decided(&last).removed, ["old"]);
    let needed = fleet(current(0), vec![draining("a", 0, Why::Roll, 50)]);
    let decision = decided(&needed);
    assert_eq!(done(&decision), ["accept a"], "no other serves");
    assert!(decision.removed.is_empty());
}

#[test]
fn one_that_is_empty_does_not_keep_a_roll_from_being_late() {
    let mut unready = fleet(
        vec![serving("new-0", 0), serving("new-1", 0), starting("new-2")],
        vec![draining("a", 0, Why::Roll, 50), cordoned("b", 9, Why::Roll, -400)],
    );
    unready.current.made = Some(at(-1_000));
    unready.former[0].gateways[0].leaving.as_mut().unwrap().since = at(-400);
    assert_eq!(decided(&unready).stage.reason(), "NotReadyInTime");
}

#[test]
fn a_former_gateway_that_was_told_and_does_not_answer_needs_a_person() {
    let stage = |until| {
        let told = Gateway {
            ready_since: Some(at(-10_000)),
            unready_since: None,
            ..silent(draining("a", 10, Why::Roll, until))
        };
        decided(&fleet(new(3), vec![told, cordoned("b", 9, Why::Roll, -50)])).stage
    };
    let message = "gateway a does not answer".to_owned();
    let reason = "NoSamples";
    assert_eq!(
        stage(-299),
        Stage::Held {
            reason,
            message: message.clone()
        }
    );
    assert_eq!(stage(-300), Stage::Stalled { reason, message });
}

#[test]
fn a_current_gateway_that_leaves_for_another_reason_does_not_keep_a_roll_from_being_late() {
    let stage = |why| {
        let current = vec![
            serving("new-0", 0),
            starting("new-1"),
            cordoned("new-2", 9, why, -400),
        ];
        let mut taken_back = fleet(current, three_serving());
        taken_back.current.made = Some(at(-1_000));
        decided(&taken_back).stage
    };
    assert_eq!(stage(Why::Scale).reason(), "NotReadyInTime");
    assert_eq!(
        stage(Why::Roll).reason(),
        "RevisionStarting",
        "it is put back now"
    );
}

#[test]
fn a_revision_that_takes_back_another_has_its_time_from_then_on() {
    let stage = |tried: i64| {
        let mut evicted = starting("a");
        evicted.made = Some(at(-10));
        let mut back = fleet(
            vec![evicted, serving("b", 9), serving("c", 9)],
            vec![starting("new-0")],
        );
        back.current.made = Some(at(-100_000));
        back.former[0].made = Some(at(-tried));
        decided(&back).stage
    };
    assert_eq!(stage(299).reason(), "RevisionStarting");
    assert_eq!(stage(601).reason(), "NotReadyInTime");
}

#[test]
fn a_gateway_that_ends_is_not_told_to_serve() {
    let mut ends = serving("a", 5);
    let sample = ends.sample.as_mut().unwrap();
    (sample.draining, sample.terminating) = (true, true);
    let alone = Fleet {
        current: revision("new", vec![ends, serving("b", 1)]),
        former: vec![],
    };
    assert_eq!(done(&decided(&alone)), [""; 0]);
}
