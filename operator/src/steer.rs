//! What becomes of a cluster's gateways next: number, roll, removal and rebalancing, put together so that only one of them
//! closes connections at a time and the budget is kept.
//!
//! A roll comes first. Without one, gateways that are too many go. Only when neither has anything to do, connections are
//! spread. A shed that goes on when something else begins is ended first, and nobody is drained before it is known to have ended.
//! So it is when the bus goes: whoever is cut then cannot join again. Only a size of 0 does not wait for it.

mod conflicts;
mod sheds;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::{
    fleet::{Action, BusView, Fleet, Leave, Why},
    rollout::{self, Stage},
    scaling::{self, Balance, Held, Memory, Rebalance, Size, Sizing},
};

/// While something is under way, a cluster is looked at again after this time.
const BUSY: Duration = Duration::from_secs(2);
/// Where the number follows the load.
const WATCHFUL: Duration = Duration::from_secs(5);
/// Where nothing but the status can change: what gateways say of the bus. Often enough that one answer that is missing leaves
/// the one before it in force.
const QUIET: Duration = Duration::from_secs(10);

/// What to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    pub size: Size,
    /// Gateways beyond the number in a roll; `None`: as many as it takes.
    pub max_surge: Option<usize>,
    pub ready_timeout: Duration,
    /// Connections that may be closed a second.
    pub rate: f64,
    /// Time that load balancers get to notice.
    pub settle: Duration,
    /// Percent above the mean; `None`: no rebalancing.
    pub skew_percent: Option<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Steering {
    /// Pods that the Deployment of the current revision shall have.
    pub replicas: usize,
    pub actions: Vec<Action>,
    /// Former revisions that shall be deleted.
    pub removed: Vec<String>,
    pub stage: Stage,
    pub sizing: Sizing,
    /// Fewest connections that the limit of open files allows on any gateway; `None`: not known yet.
    pub capacity: Option<u64>,
    /// When to look again.
    pub look_again: Duration,
}

/// Decides what to do next.
pub fn steer(fleet: &Fleet, course: &Course, memory: &Memory, now: Timestamp) -> Steering {
    let mut sizing = scaling::size(fleet, &course.size, memory, now);
    let rolled = rollout::decide(
        fleet,
        &rollout::Plan {
            desired: sizing.of_roll(),
            max_surge: course.max_surge,
            rate: course.rate,
            settle: course.settle,
            ready_timeout: course.ready_timeout,
        },
        now,
    );
    let leave = Leave {
        why: Why::Scale,
        settle: course.settle,
        rate: course.rate,
        heard: fleet.is_heard(),
        now,
    };
    let rolls = !fleet.former.is_empty();
    let lost = BusView::of(fleet).hold();
    let bus_away = lost.is_some();
    // Where there shall be no gateway at all, nobody has a room to come back to.
    let may_drain = !rolls && (!bus_away || sizing.desired == 0);
    let shrunk = scaling::shrink(&fleet.current, sizing.desired, &leave, may_drain);
    if let Some(message) =
        lost.filter(|_| !rolls && !may_drain && fleet.current.gateways.len() > sizing.desired)
    {
        sizing.held.get_or_insert(Held::bus_down(message));
    }
    sizing.held = sizing.held.or(shrunk.held);
    let mut actions = rolled.actions;
    actions.extend(shrunk.actions);
    conflicts::resolve(&mut actions);
    let leaving = fleet.gateways().any(|gateway| gateway.leaving.is_some());
    if rolls || leaving || bus_away || !actions.is_empty() {
        sheds::end(fleet, &mut actions);
    } else {
        let balance = spread(fleet, course, memory, now);
        sizing.memory.shed = balance.last;
        actions.extend(balance.shed);
    }
    if rolls {
        // What it comes to afterwards is another matter.
        sizing.memory.shed = None;
    }
    Steering {
        replicas: if rolls {
            in_roll(fleet, course, sizing.desired, rolled.replicas)
        } else {
            shrunk.replicas
        },
        look_again: look_again(course, rolls || leaving || !actions.is_empty()),
        actions,
        removed: rolled.removed,
        stage: rolled.stage,
        sizing,
        capacity: capacity(fleet),
    }
}

/// What the roll does not wait for is made beside it, as far as its surge allows.
fn in_roll(fleet: &Fleet, course: &Course, desired: usize, rolled: usize) -> usize {
    let room = course.max_surge.map_or(desired, |surge| {
        (desired + surge).saturating_sub(fleet.former_count())
    });
    rolled.max(room.min(desired))
}

fn capacity(fleet: &Fleet) -> Option<u64> {
    fleet
        .gateways()
        .filter_map(|gateway| gateway.sample.as_ref())
        .map(|sample| sample.connection_limit)
        .min()
}

fn spread(fleet: &Fleet, course: &Course, memory: &Memory, now: Timestamp) -> Balance {
    let Some(skew_percent) = course.skew_percent else {
        return Balance::default();
    };
    let rebalance = Rebalance {
        skew_percent,
        rate: course.rate,
        now,
    };
    scaling::rebalance(fleet, &rebalance, memory.shed)
}

fn look_again(course: &Course, busy: bool) -> Duration {
    match course.size {
        _ if busy => BUSY,
        Size::Automatic(_) => WATCHFUL,
        Size::Fixed(_) => QUIET,
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    mod outage;

    use super::*;
    use crate::{
        fleet::{
            Gateway,
            tests::{at, cordoned, draining, revision, serving, starting},
        },
        scaling::{Automatic, Ceilings},
    };

    fn course(size: Size) -> Course {
        Course {
            size,
            max_surge: None,
            ready_timeout: Duration::from_mins(5),
            rate: 10.0,
            settle: Duration::from_secs(5),
            skew_percent: Some(30),
        }
    }

    fn steered(
        current: Vec<Gateway>,
        former: Vec<Gateway>,
        desired: usize,
    ) -> (usize, Vec<String>, Duration) {
        let fleet = Fleet {
            current: revision("new", current),
            former: if former.is_empty() {
                vec![]
            } else {
                vec![revision("old", former)]
            },
        };
        let steering = steer(&fleet, &course(Size::Fixed(desired)), &Memory::default(), at(0));
        let names = steering
            .actions
            .iter()
            .map(|action| format!("{} {}", action.name(), action.pod().unwrap_or_default()));
        (steering.replicas, names.collect(), steering.look_again)
    }

    #[test]
    fn one_thing_closes_connections_at_a_time() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let even = || vec![serving("a", 100), serving("b", 100)];
        assert_eq!(steered(even(), vec![], 2), (2, vec![], QUIET));
        assert_eq!(
            steered(vec![], vec![], 2),
            (2, vec![], QUIET),
            "the beginning of a cluster"
        );
        // A roll comes before a removal, and a removal that has begun waits for its end.
        let three = || {
            vec![
                serving("a", 100),
                serving("b", 100),
                draining("c", 9, Why::Scale, 50),
            ]
        };
        let old = || vec![cordoned("o", 50, Why::Roll, -50)];
        assert_eq!(
            steered(three(), old(), 2),
            (3, named(&["pause c"]), BUSY),
            "until it is heard that one is paused, no other is drained"
        );
        let mut paused = three();
        paused[2] = cordoned("c", 9, Why::Scale, -50);
        assert_eq!(steered(paused, old(), 2), (3, named(&["drain o"]), BUSY));
        assert_eq!(steered(three(), vec![], 2), (3, vec![], BUSY));
        // Only where nothing goes connections are spread.
        let skewed = || vec![serving("a", 900), serving("b", 100)];
        assert_eq!(steered(skewed(), vec![], 2), (2, named(&["shed a"]), BUSY));
        assert_eq!(steered(skewed(), vec![], 1), (2, named(&["cordon b"]), BUSY));
    }

    #[test]
    fn one_that_does_not_know_that_it_serves_may_go_all_the_same() {
        let mut forgotten = serving("c", 9);
        forgotten.sample.as_mut().unwrap().draining = true;
        let three = vec![serving("a", 100), serving("b", 100), forgotten];
        assert_eq!(steered(three.clone(), vec![], 3).1, ["accept c"]);
        assert_eq!(steered(three, vec![], 2).1, ["cordon c"]);
    }

    #[test]
    fn what_is_added_in_a_roll_does_not_stop_it() {
        let fleet = Fleet {
            current: revision("new", vec![serving("d", 10), serving("e", 10), starting("f")]),
            former: vec![revision("old", vec![cordoned("a", 10, Why::Roll, -50)])],
        };
        let began = Memory {
            roll: Some(2),
            ..Memory::default()
        };
        let steered = |surge, memory: &Memory| {
            let course = Course {
                max_surge: surge,
                ..course(Size::Fixed(4))
            };
            let steering = steer(&fleet, &course, memory, at(0));
            let names = steering.actions.iter().map(Action::name).collect::<Vec<_>>();
            (steering.replicas, names, steering.stage.reason())
        };
        assert_eq!(steered(None, &began), (4, vec!["drain"], "RevisionDraining"));
        assert_eq!(steered(Some(0), &began).0, 3, "its surge is kept");
        assert_eq!(
            steered(None, &Memory::default()),
            (4, vec![], "RevisionStarting"),
            "what it began with is waited for"
        );
    }

    #[test]
    fn a_shed_ends_when_something_else_begins_or_the_bus_goes() {
        let shedding = |bus_up| {
            let mut gateway = serving("a", 900);
            let sample = gateway.sample.as_mut().unwrap();
            (sample.shedding, sample.bus_up) = (300, bus_up);
            gateway
        };
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let two = || vec![shedding(true), serving("b", 100)];
        assert_eq!(steered(two(), vec![], 2).1, named(&[]), "it goes on");
        assert_eq!(steered(two(), vec![], 1).1, named(&["cordon b", "accept a"]));
        // A roll: at once, as former gateways would get those who are shed, and nobody is drained before it is seen to have ended.
        let starts = || vec![starting("d"), starting("e")];
        assert_eq!(steered(starts(), two(), 2).1, named(&["accept a"]));
        let old = || vec![shedding(true), cordoned("o", 50, Why::Roll, -50)];
        let new = || vec![serving("d", 1), serving("e", 1)];
        assert_eq!(steered(new(), old(), 2).1, named(&["cordon a"]));
        let gone_on = || {
            let mut gateway = shedding(true);
            let before = cordoned("a", 0, Why::Roll, -50);
            (gateway.accepting, gateway.leaving) = (false, before.leaving);
            vec![gateway, cordoned("o", 50, Why::Roll, -50)]
        };
        assert_eq!(steered(new(), gone_on(), 2).1, named(&["pause a"]));
        let lost = vec![shedding(false), serving("b", 100)];
        assert_eq!(steered(lost, vec![], 2).1, named(&["accept a"]));
    }

    #[test]
    fn a_shed_is_remembered_until_a_roll() {
        let skewed = || vec![serving("a", 900), serving("b", 100)];
        let fleet = |former| Fleet {
            current: revision("new", skewed()),
            former,
        };
        let remembered = |former, memory: &Memory, rebalanced: bool| {
            let course = Course {
                skew_percent: rebalanced.then_some(30),
                ..course(Size::Fixed(2))
            };
            steer(&fleet(former), &course, memory, at(0)).sizing.memory
        };
        let shed = remembered(vec![], &Memory::default(), true);
        assert!(shed.shed.is_some());
        assert_eq!(
            remembered(vec![], &shed, true).shed,
            shed.shed,
            "within the pause"
        );
        assert_eq!(remembered(vec![revision("old", vec![])], &shed, true).shed, None);
        assert_eq!(remembered(vec![], &shed, false).shed, None, "turned off");
    }

    #[test]
    fn a_gateway_is_not_counted_on_for_more_than_it_can_hold() {
        let mut small = serving("a", 800);
        small.sample.as_mut().unwrap().connection_limit = 1_000;
        let fleet = Fleet {
            current: revision("r", vec![small, serving("b", 200)]),
            former: vec![],
        };
        let automatic = Automatic {
            min: 1,
            max: 9,
            ceilings: Ceilings {
                connections: 5_000,
                cpu: None,
                memory: None,
            },
            window: Duration::from_mins(5),
        };
        let steering = steer(
            &fleet,
            &course(Size::Automatic(automatic)),
            &Memory::default(),
            at(0),
        );
        assert_eq!((steering.capacity, steering.sizing.desired), (Some(1_000), 2));
        assert_eq!(steering.look_again, BUSY, "it sheds");
    }
}
