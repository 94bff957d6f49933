//! The same in a world that is against it: calls are lost, answers are missing, operators and pods end, and people change their
//! minds.
//!
//! Whatever happens, no gateway is removed with clients on it, and no more clients are cut a second than the budget says; and when
//! people and pods leave it in peace, though calls still fail, all is as it shall be in the end.

use super::{
    world::{Faults, LIMIT, World},
    *,
};

const CALLS_FAIL: Faults = Faults {
    write: 100,
    call: 200,
    answer: 200,
    restart: 30,
    unready: 0,
    evict: 0,
    cut: 0,
};

const ALL_FAILS: Faults = Faults {
    unready: 5,
    evict: 10,
    ..CALLS_FAIL
};

/// Runs `tick` in many worlds, each with luck of its own, and then until all is as it shall be.
fn in_many_worlds(max_surge: Option<usize>, faults: Faults, edit: fn(&mut World) -> usize) {
    for seed in 0..40 {
        let mut world = World::new(3, 60);
        world.random.seed(seed);
        world.faults = faults;
        let mut gateways = 3;
        while world.now < 300 {
            if world.now % 20 == 0 {
                gateways = edit(&mut world);
            }
            world.tick(&course(Size::Fixed(gateways), max_surge));
        }
        world.faults = Faults {
            unready: 0,
            evict: 0,
            cut: 0,
            ..faults
        };
        let settled = |world: &World, _: &Steering| world.is_settled(gateways);
        let took = world.run(&course(Size::Fixed(gateways), max_surge), settled);
        assert!(took < LIMIT / 4, "seed {seed}: {took} s");
        assert_eq!(world.clients().len(), 180, "seed {seed}");
        assert!(world.worst <= 10, "seed {seed}: {} in a second", world.worst);
    }
}

/// Any of four revisions, one of which never gets ready; mostly the same as before.
fn another_revision(world: &mut World) -> usize {
    if world.chance(400) {
        let revisions = ["a", "b", "c", "bad"];
        world.current = revisions[world.random.usize(..revisions.len())].to_owned();
    }
    if world.now >= 280 && world.current == "bad" {
        world.current = "b".to_owned();
    }
    3
}

fn another_size(world: &mut World) -> usize {
    world.random.usize(2..6)
}

/// And the bus comes and goes.
fn another_of_all(world: &mut World) -> usize {
    world.bus = world.now >= 280 || world.chance(700);
    another_revision(world);
    another_size(world)
}

#[test]
fn sizes_that_change_while_calls_fail() {
    in_many_worlds(None, CALLS_FAIL, another_size);
}

#[test]
fn revisions_that_change_while_calls_fail() {
    in_many_worlds(None, CALLS_FAIL, another_revision);
}

#[test]
fn all_at_once() {
    in_many_worlds(None, ALL_FAILS, another_of_all);
}

#[test]
fn all_at_once_with_a_lower_surge() {
    in_many_worlds(Some(1), ALL_FAILS, another_of_all);
}

#[test]
fn a_bad_revision_gives_way_to_the_next_one_where_there_is_no_room_for_three() {
    let mut world = World::new(3, 60);
    world.quota = 6;
    let course = course(Size::Fixed(3), None);
    for revision in ["bad", "b"] {
        world.current = revision.to_owned();
        for _ in 0..10 {
            world.tick(&course);
        }
    }
    world.run(&course, |world, _| world.is_settled(3));
    assert_eq!(world.clients(), vec![1; 180]);
}

#[test]
fn edits_one_after_another_do_not_multiply_pods() {
    let mut world = World::new(3, 60);
    let course = course(Size::Fixed(3), None);
    let mut most = 0;
    for edit in 0..10 {
        world.current = format!("edit-{edit}");
        for _ in 0..2 {
            world.tick(&course);
            most = most.max(world.pods.len());
        }
    }
    world.run(&course, |world, _| world.is_settled(3));
    assert_eq!(world.clients(), vec![1; 180]);
    assert!(most <= 9, "{most} pods");
}

#[test]
fn an_operator_that_hears_nothing_cuts_nobody() {
    let mut world = World::new(10, 60);
    world.faults.answer = 1_000;
    world.faults.call = 1_000;
    let two = course(Size::Fixed(2), None);
    for _ in 0..1_000 {
        world.tick(&two);
    }
    assert_eq!((world.pods.len(), world.worst), (10, 0));
    world.faults = Faults::default();
    world.run(&two, |world, _| world.is_settled(2));
    assert_eq!(world.clients().len(), 600);
    assert!(world.worst <= 10);
}

#[test]
fn a_roll_that_nobody_hears_of_ends_when_it_is_heard() {
    let mut world = World::new(3, 100);
    let course = course(Size::Fixed(3), None);
    world.current = "b".to_owned();
    for _ in 0..20 {
        world.tick(&course);
    }
    world.faults.answer = 1_000;
    world.faults.call = 1_000;
    for _ in 0..1_000 {
        world.tick(&course);
    }
    assert!(
        world.clients().contains(&0),
        "the drain that had begun went on, no other began"
    );
    world.faults = Faults::default();
    world.run(&course, |world, _| world.is_settled(3));
    assert_eq!((world.clients(), world.worst), (vec![1; 300], 10));
}

#[test]
fn a_bus_that_goes_away_stops_a_drain_though_calls_are_lost() {
    for current in ["a", "b"] {
        let mut world = World::new(4, 100);
        world.current = current.to_owned();
        let course = course(Size::Fixed(2), None);
        for _ in 0..15 {
            world.tick(&course);
        }
        assert!(world.worst > 0, "{current}: it is under way");
        world.faults.call = 500;
        world.bus = false;
        for _ in 0..20 {
            world.tick(&course);
        }
        world.worst = 0;
        for _ in 0..100 {
            world.tick(&course);
        }
        assert_eq!(world.worst, 0, "{current}");
        world.bus = true;
        world.run(&course, |world, _| world.is_settled(2));
        assert_eq!(world.clients().len(), 400);
    }
}

#[test]
fn a_lower_rate_reaches_the_drain_under_way_though_calls_are_lost() {
    let mut world = World::new(3, 200);
    world.current = "b".to_owned();
    let mut course = course(Size::Fixed(3), None);
    for _ in 0..15 {
        world.tick(&course);
    }
    world.faults.call = 500;
    course.rate = 2.0;
    for _ in 0..20 {
        world.tick(&course);
    }
    world.worst = 0;
    world.run(&course, |world, _| world.is_settled(3));
    assert_eq!((world.clients(), world.worst), (vec![1; 600], 2));
}

#[test]
fn going_back_is_no_stall() {
    for ready in [15, 25, 60] {
        let mut world = World::new(3, 200);
        let course = course(Size::Fixed(3), None);
        world.current = "b".to_owned();
        for _ in 0..ready {
            world.tick(&course);
        }
        world.current = "a".to_owned();
        world.faults.call = 300;
        while !world.is_settled(3) {
            let stage = world.tick(&course).stage;
            assert!(stage.is_done() || stage.goes_on(), "{ready}: {stage:?}");
            assert!(world.now < LIMIT, "{ready}");
        }
        assert_eq!(world.clients().len(), 600);
    }
}
