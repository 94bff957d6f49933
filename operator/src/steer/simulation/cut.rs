//! The way from the operator to gateways is cut for minutes, though clients have theirs.

use super::{
    world::{Faults, World},
    *,
};

/// The operator cannot reach those pods for so long.
fn cut(world: &mut World, seconds: i64, whom: fn(&Gateway) -> bool) {
    let until = world.now + seconds;
    for pod in world.pods.iter_mut().filter(|pod| whom(&pod.gateway)) {
        pod.cut_until = until;
    }
}

#[test]
fn an_order_that_arrives_late_has_its_time() {
    let whom: [fn(&Gateway) -> bool; 2] = [|gateway| gateway.leaving.is_some(), |_| true];
    for (case, whom) in whom.into_iter().enumerate() {
        for seconds in (100..400).step_by(37) {
            let mut world = World::new(4, 60);
            let three = course(Size::Fixed(3), None);
            world.tick(&three);
            cut(&mut world, seconds, whom);
            let took = world.run(&three, |world, _| world.is_settled(3));
            assert!(
                (seconds..seconds + 60).contains(&took),
                "{case}: {took} s of {seconds}"
            );
            let clients = world.clients();
            assert_eq!((clients.len(), clients.iter().max()), (240, Some(&1)), "{case}");
            assert!(world.worst <= 10, "{case}: {} in a second", world.worst);
        }
    }
}

#[test]
fn a_roll_waits_for_a_former_gateway_that_is_cut_off() {
    for seconds in (100..400).step_by(37) {
        let mut world = World::new(3, 100);
        world.current = "b".to_owned();
        let course = course(Size::Fixed(3), None);
        while !world.pods.iter().any(|pod| pod.gateway.leaving.is_some()) {
            world.tick(&course);
        }
        cut(&mut world, seconds, |gateway| gateway.leaving.is_some());
        world.run(&course, |world, _| world.is_settled(3));
        assert_eq!((world.clients(), world.worst), (vec![1; 300], 10), "{seconds}");
    }
}

#[test]
fn a_former_gateway_that_is_cut_off_for_good_needs_a_person() {
    let mut world = World::new(3, 100);
    world.current = "b".to_owned();
    let course = course(Size::Fixed(3), None);
    while !world.pods.iter().any(|pod| pod.gateway.leaving.is_some()) {
        world.tick(&course);
    }
    cut(&mut world, 10_000, |gateway| gateway.leaving.is_some());
    for _ in 0..400 {
        world.tick(&course);
    }
    let stage = world.tick(&course).stage;
    assert!(matches!(stage, Stage::Stalled { .. }), "{stage:?}");
    assert_eq!(world.worst, 0);
}

#[test]
fn gateways_that_are_unready_without_the_bus_keep_their_clients_though_nobody_hears_them() {
    let mut world = World::new(4, 60);
    let two = course(Size::Fixed(2), None);
    world.tick(&course(Size::Fixed(4), None));
    cut(&mut world, 900, |_| true);
    for pod in &mut world.pods {
        pod.unready_until = world.now + 900;
    }
    for _ in 0..800 {
        world.tick(&two);
    }
    assert_eq!((world.pods.len(), world.worst), (4, 0));
    world.run(&two, |world, _| world.is_settled(2));
    let clients = world.clients();
    assert_eq!((clients.len(), clients.iter().max()), (240, Some(&1)));
}

#[test]
fn ways_that_are_cut_again_and_again_cost_nobody() {
    for seed in 0..20 {
        let mut world = World::new(3, 60);
        world.random.seed(seed);
        world.faults = Faults {
            write: 100,
            call: 100,
            answer: 100,
            restart: 10,
            cut: 10,
            ..Faults::default()
        };
        let mut gateways = 3;
        while world.now < 1_500 {
            if world.now % 50 == 0 {
                gateways = world.random.usize(2..6);
                let revisions = ["a", "b", "c"];
                world.current = revisions[world.random.usize(..revisions.len())].to_owned();
            }
            world.tick(&course(Size::Fixed(gateways), None));
        }
        world.faults = Faults::default();
        world.run(&course(Size::Fixed(gateways), None), |world, _| {
            world.is_settled(gateways)
        });
        assert_eq!(world.clients().len(), 180, "seed {seed}");
        assert!(world.worst <= 10, "seed {seed}: {} in a second", world.worst);
    }
}
