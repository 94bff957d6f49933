use super::*;
use crate::fleet::tests::{at, revision, serving};

fn with(connections: &[u64]) -> Fleet {
    let gateways = connections.iter().enumerate();
    let gateways = gateways.map(|(number, connections)| serving(&format!("g-{number}"), *connections));
    Fleet {
        current: revision("r", gateways.collect()),
        former: vec![],
    }
}

fn decide(fleet: &Fleet, last: Option<LastShed>, now: i64) -> (Option<u64>, Option<LastShed>) {
    let rebalance = Rebalance {
        skew_percent: 25,
        rate: 10.0,
        now: at(now),
    };
    let balance = super::rebalance(fleet, &rebalance, last);
    let shed = balance.shed.map(|action| match action {
        Action::Shed { connections, .. } => connections,
        other => panic!("{other:?}"),
    });
    (shed, balance.last)
}

#[test]
fn the_fullest_sheds_what_it_has_above_the_mean() {
    let now = Rebalance {
        skew_percent: 25,
        rate: 10.0,
        now: at(0),
    };
    let expected = Action::Shed {
        pod: "g-0".to_owned(),
        connections: 400,
        rate: 10.0,
    };
    assert_eq!(rebalance(&with(&[800, 400, 0]), &now, None).shed, Some(expected));
    let with_last = |change: fn(&mut Gateway)| {
        let mut fleet = with(&[800, 400, 0]);
        change(&mut fleet.current.gateways[2]);
        fleet
    };
    for (case, fleet) in [
        ("even enough", with(&[500, 400, 300])),
        ("too few to matter", with(&[30, 20, 11])),
        ("alone", with(&[800])),
        (
            "just ready",
            with_last(|gateway| gateway.ready_since = Some(at(-59))),
        ),
        ("starting", with_last(|gateway| gateway.ready_since = None)),
        ("silent", with_last(|gateway| gateway.sample = None)),
        (
            "out of the Service",
            with_last(|gateway| gateway.accepting = false),
        ),
        (
            "a shed is under way",
            with_last(|gateway| gateway.sample.as_mut().unwrap().shedding = 1),
        ),
        (
            "the bus is away",
            with_last(|gateway| gateway.sample.as_mut().unwrap().bus_up = false),
        ),
    ] {
        assert_eq!(decide(&fleet, None, 0), (None, None), "{case}");
    }
    let mut rolling = with(&[800, 400, 0]);
    rolling.former = vec![revision("f", vec![])];
    assert_eq!(decide(&rolling, None, 0).0, None);
}

#[test]
fn a_shed_is_followed_by_a_pause() {
    let skewed = with(&[1_000, 0]);
    let (shed, last) = decide(&skewed, None, 0);
    assert_eq!(shed, Some(500));
    // 500 at 10 a second, and five minutes.
    assert_eq!(last.unwrap().pause_until, at(350));
    assert_eq!(
        decide(&skewed, last, 349),
        (None, last),
        "clients are coming back"
    );
    assert_eq!(
        decide(&with(&[500, 500]), last, 349),
        (None, last),
        "even for a moment"
    );
    assert_eq!(decide(&with(&[500, 500]), last, 350), (None, None));
}

#[test]
fn it_is_given_up_where_it_does_not_help() {
    // Whatever is in front sends every client back to the same gateway.
    let sticky = with(&[1_000, 0]);
    let (mut sheds, mut last) = (0, None);
    for now in 0..10_000 {
        let (shed, remembered) = decide(&sticky, last, now);
        sheds += usize::from(shed.is_some());
        last = remembered;
    }
    assert_eq!(sheds, 2);
    assert!(last.unwrap().is_given_up());
    for (case, fleet) in [
        ("another gateway came", with(&[1_000, 0, 0])),
        ("the skew is another one", with(&[1_000, 200])),
    ] {
        let (shed, again) = decide(&fleet, last, 10_000);
        assert!(shed.is_some() && !again.unwrap().is_given_up(), "{case}");
    }
}

#[test]
fn it_goes_on_while_it_helps() {
    // Half of those that are shed by one of two gateways come back to it.
    let (mut connections, mut sheds, mut last) = ([1_000, 0], Vec::new(), None);
    for now in 0..2_000 {
        let (shed, remembered) = decide(&with(&connections), last, now);
        if let Some(shed) = shed {
            connections = [connections[0] - shed / 2, connections[1] + shed / 2];
            sheds.push(shed);
        }
        last = remembered;
    }
    assert_eq!((sheds, last), (vec![500, 250], None));
}
