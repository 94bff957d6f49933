//! Fleets in few words, for the tables of those who decide; and the steps of one gateway.

use std::time::Duration;

use super::*;

/// A moment, so many seconds after an hour of its own.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A gateway that has been ready for a long time and serves so many connections.
pub(crate) fn serving(pod: &str, connections: u64) -> Gateway {
    Gateway {
        pod: pod.to_owned(),
        running: true,
        ready_since: Some(at(-10_000)),
        has_served: true,
        ever_ready: true,
        accepting: true,
        sample: Some(Sample {
            connections,
            connection_limit: 1_000_000,
            bus_up: true,
            ..Sample::default()
        }),
        ..Gateway::default()
    }
}

/// A gateway that is out of the Service since then.
pub(crate) fn cordoned(pod: &str, connections: u64, why: Why, since: i64) -> Gateway {
    Gateway {
        accepting: false,
        leaving: Some(Leaving {
            why,
            since: at(since),
            until: None,
        }),
        ..serving(pod, connections)
    }
}

/// A gateway that has been told to drain until then.
pub(crate) fn draining(pod: &str, connections: u64, why: Why, until: i64) -> Gateway {
    let mut gateway = cordoned(pod, connections, why, -1_000);
    gateway.leaving = gateway.leaving.map(|leaving| Leaving {
        until: Some(at(until)),
        ..leaving
    });
    gateway.ready_since = None;
    gateway.unready_since = Some(at(-1_000));
    if let Some(sample) = &mut gateway.sample {
        sample.draining = true;
        sample.empty = connections == 0;
    }
    gateway
}

/// A gateway whose pod was made and is not ready yet.
pub(crate) fn starting(pod: &str) -> Gateway {
    Gateway {
        pod: pod.to_owned(),
        running: true,
        accepting: true,
        ..Gateway::default()
    }
}

pub(crate) fn silent(gateway: Gateway) -> Gateway {
    Gateway {
        sample: None,
        ..gateway
    }
}

pub(crate) fn marked(gateway: Gateway) -> Gateway {
    Gateway {
        marked: true,
        ..gateway
    }
}

pub(crate) fn revision(name: &str, gateways: Vec<Gateway>) -> Revision {
    Revision {
        name: name.to_owned(),
        replicas: i32::try_from(gateways.len()).unwrap(),
        made: Some(at(-60)),
        completed: gateways.iter().any(|gateway| gateway.ever_ready),
        gateways,
    }
}

fn leave() -> Leave {
    Leave {
        why: Why::Roll,
        settle: Duration::from_secs(5),
        rate: 10.0,
        heard: true,
        now: at(0),
    }
}

fn drain(until: i64) -> Action {
    Action::Drain {
        pod: "a".to_owned(),
        rate: 10.0,
        until: at(until),
    }
}

#[test]
fn a_gateway_leaves_step_by_step() {
    let unheard = |until| {
        let mut gateway = draining("a", 10, Why::Roll, until);
        gateway.sample.as_mut().unwrap().draining = false;
        gateway
    };
    let starts = Gateway {
        leaving: cordoned("a", 0, Why::Roll, 0).leaving,
        ..starting("a")
    };
    let crashed = Gateway {
        running: false,
        ..cordoned("a", 0, Why::Roll, 0)
    };
    for (gateway, step, case) in [
        (serving("a", 7), Step::Staying, "nobody told it"),
        (
            cordoned("a", 7, Why::Roll, -4),
            Step::Settling,
            "load balancers still send newcomers",
        ),
        (
            cordoned("a", 100, Why::Roll, -5),
            Step::Draining(Some(drain(40))),
            "10 s at 10 a second, and 30 more",
        ),
        (
            draining("a", 7, Why::Roll, 20),
            Step::Draining(None),
            "it is being drained",
        ),
        (
            unheard(-500),
            Step::Draining(Some(drain(31))),
            "the order did not arrive: its time counts from now",
        ),
        (
            starts,
            Step::Done,
            "nobody has come to a gateway that was never ready",
        ),
        (draining("a", 0, Why::Roll, 20), Step::Done, "empty"),
        (draining("a", 7, Why::Roll, 0), Step::Done, "its time is over"),
        (
            silent(draining("a", 7, Why::Roll, -1)),
            Step::Done,
            "its time is over, whatever it has",
        ),
        (
            crashed,
            Step::Done,
            "nobody is connected to a container that does not run",
        ),
    ] {
        assert_eq!(leave().step(&gateway), step, "{case}");
    }
}

#[test]
fn an_order_is_given_until_it_is_followed_at_the_rate_of_now() {
    let mut paused_unheard = draining("a", 10, Why::Roll, 0);
    paused_unheard.leaving.as_mut().unwrap().until = None;
    let at_rate = |rate| {
        let mut gateway = draining("a", 10, Why::Roll, 20);
        gateway.sample.as_mut().unwrap().drain_rate = Some(rate);
        gateway
    };
    for (gateway, step, case) in [
        (
            paused_unheard,
            Step::Draining(Some(drain(31))),
            "its drain was paused, which it did not hear: it goes on, and has a time again",
        ),
        (
            at_rate(5.0),
            Step::Draining(Some(drain(31))),
            "the budget is another one now",
        ),
        (
            at_rate(10.0 + 1e-9),
            Step::Draining(None),
            "the rate that was told",
        ),
    ] {
        assert_eq!(leave().step(&gateway), step, "{case}");
    }
}

#[test]
fn the_kubelet_says_what_a_silent_gateway_does() {
    for (gateway, step, case) in [
        (
            silent(cordoned("a", 7, Why::Roll, -5)),
            Step::Silent,
            "nobody knows how long it would take",
        ),
        (
            silent(draining("a", 7, Why::Roll, 20)),
            Step::Draining(None),
            "it does not answer: an order could arrive when its time is over",
        ),
        (
            Gateway {
                ready_since: Some(at(-9_000)),
                unready_since: None,
                ..silent(draining("a", 7, Why::Roll, -500))
            },
            Step::Draining(None),
            "it is ready: it does not drain, whatever is written on it",
        ),
        (
            Gateway {
                unready_since: Some(at(-4)),
                ..silent(draining("a", 7, Why::Roll, -1))
            },
            Step::Draining(None),
            "it has not been ready for a moment: that is no drain",
        ),
        (
            Gateway {
                ready_since: None,
                unready_since: Some(at(-299)),
                ..silent(cordoned("a", 7, Why::Roll, -5))
            },
            Step::Silent,
            "it is waited for",
        ),
        (
            Gateway {
                ready_since: None,
                unready_since: Some(at(-300)),
                ..silent(cordoned("a", 7, Why::Roll, -5))
            },
            Step::Done,
            "it is frozen",
        ),
    ] {
        assert_eq!(leave().step(&gateway), step, "{case}");
    }
}

#[test]
fn where_nobody_answers_not_being_ready_is_no_drain() {
    let deaf = Leave {
        heard: false,
        ..leave()
    };
    let over = silent(draining("a", 7, Why::Roll, -1));
    assert_eq!(leave().step(&over), Step::Done);
    assert_eq!(deaf.step(&over), Step::Draining(None));
}

#[test]
fn deadlines_that_no_clock_knows_are_the_last_moment() {
    assert_eq!(deadline(at(0), u64::MAX, 0.0), Timestamp::MAX);
    assert_eq!(deadline(at(0), 0, 1.0), at(30));
}

#[test]
fn whys_are_written_and_read() {
    for why in [Why::Roll, Why::Scale] {
        assert_eq!(Why::of_name(why.name()), Some(why));
    }
    assert_eq!(Why::of_name("else"), None);
}
