//! The bus is away, or the way to the gateways.

use super::*;

#[test]
fn nothing_is_removed_while_the_bus_is_away() {
    let mut lost = serving("a", 100);
    lost.sample.as_mut().unwrap().bus_up = false;
    let gateways = vec![
        lost,
        serving("b", 100),
        draining("c", 9, Why::Scale, 50),
        serving("d", 1),
    ];
    assert_eq!(
        steered(gateways.clone(), vec![], 2),
        (4, vec!["pause c".to_owned()], BUSY)
    );
    let held = |desired| {
        let fleet = Fleet {
            current: revision("new", gateways.clone()),
            former: vec![],
        };
        let fixed = course(Size::Fixed(desired));
        steer(&fleet, &fixed, &Memory::default(), at(0)).sizing.held
    };
    let why = "bus down: gateway a is not connected to NATS".to_owned();
    assert_eq!(held(2), Some(Held::bus_down(why)));
    assert_eq!(held(4), None, "nobody shall go");
    assert_eq!(held(0), None, "all shall go");
    let cordons = ["cordon d", "cordon a", "cordon b"].map(str::to_owned);
    assert_eq!(steered(gateways, vec![], 0), (4, cordons.into(), BUSY));
}

#[test]
fn where_nobody_answers_nobody_is_given_up() {
    let frozen = |pod: &str| Gateway {
        ready_since: None,
        unready_since: Some(at(-400)),
        sample: None,
        ..serving(pod, 0)
    };
    let one = vec![serving("a", 100), serving("b", 100), frozen("c")];
    assert_eq!(steered(one, vec![], 2).1, ["cordon c"]);
    let all = || vec![frozen("a"), frozen("b"), frozen("c")];
    assert_eq!(steered(all(), vec![], 2), (3, vec![], QUIET));
    let fleet = Fleet {
        current: revision("new", all()),
        former: vec![],
    };
    let two = course(Size::Fixed(2));
    let held = steer(&fleet, &two, &Memory::default(), at(0)).sizing.held;
    assert_eq!(held.map(|held| held.reason), Some("SamplesMissing"));
}
