//! Gateways of the current revision that do not become ready again, and sizes that change meanwhile.

use super::{world::World, *};

/// A former gateway of a roll is empty, and was not removed yet.
fn roll_until_one_is_empty(world: &mut World, course: &Course) {
    world.current = "b".to_owned();
    while !world
        .pods
        .iter()
        .any(|pod| pod.revision == "a" && pod.clients.is_empty())
    {
        world.tick(course);
        assert!(world.now < 100);
    }
}

fn of<'a>(world: &'a mut World, revision: &'a str) -> impl Iterator<Item = &'a mut pod::Pod> {
    world.pods.iter_mut().filter(move |pod| pod.revision == revision)
}

#[test]
fn a_current_gateway_that_stays_unready_stalls_the_roll_whenever_it_happens() {
    for later in 0..12 {
        let mut world = World::new(3, 100);
        let course = course(Size::Fixed(3), None);
        roll_until_one_is_empty(&mut world, &course);
        for _ in 0..later {
            world.tick(&course);
        }
        of(&mut world, "b").next().unwrap().unready_until = i64::MAX;
        for _ in 0..400 {
            world.tick(&course);
        }
        let stage = world.tick(&course).stage;
        assert_eq!(stage.reason(), "NotReadyInTime", "{later}");
        let empty = of(&mut world, "a").filter(|pod| pod.clients.is_empty()).count();
        assert_eq!(empty, 0, "{later}: it is in nobody's way");
        of(&mut world, "b").for_each(|pod| pod.unready_until = 0);
        world.run(&course, |world, _| world.is_settled(3));
        assert_eq!((world.clients(), world.worst), (vec![1; 300], 10), "{later}");
    }
}

#[test]
fn an_empty_gateway_gives_its_room_to_the_one_that_takes_an_evicted_ones_place() {
    let mut world = World::new(3, 100);
    let course = course(Size::Fixed(3), None);
    roll_until_one_is_empty(&mut world, &course);
    // The nodes are full: not one pod more than there are without the evicted one.
    world.quota = world.pods.len() - 1;
    let evicted = world.pods.iter().position(|pod| pod.revision == "b").unwrap();
    let gone = world.pods.remove(evicted);
    world.waiting.extend(gone.clients);
    let took = world.run(&course, |world, _| world.is_settled(3));
    assert!(took < 100, "{took} s");
    assert_eq!(world.clients().len(), 300);
}

#[test]
fn one_that_was_too_many_before_a_roll_was_taken_back_hides_no_stall() {
    let mut world = World::new(3, 100);
    let course = course(Size::Fixed(2), None);
    world.tick(&course);
    world.current = "b".to_owned();
    world.tick(&course);
    of(&mut world, "b").next().unwrap().unready_until = i64::MAX;
    for _ in 0..5 {
        world.tick(&course);
    }
    world.current = "a".to_owned();
    let staying = of(&mut world, "a").find(|pod| pod.gateway.leaving.is_none());
    staying.unwrap().unready_until = i64::MAX;
    for _ in 0..400 {
        world.tick(&course);
    }
    assert_eq!(world.tick(&course).stage.reason(), "NotReadyInTime");
    of(&mut world, "a").for_each(|pod| pod.unready_until = 0);
    world.run(&course, |world, _| world.is_settled(2));
    assert_eq!(world.clients().len(), 300);
    assert!(world.worst <= 10);
}

#[test]
fn sizes_that_change_in_the_middle_of_a_roll() {
    for seed in 0..20 {
        let mut world = World::new(4, 100);
        world.random.seed(seed);
        world.current = "b".to_owned();
        let mut gateways = 4;
        while world.now < 60 {
            if world.now % 7 == 6 {
                gateways = world.random.usize(1..8);
            }
            world.tick(&course(Size::Fixed(gateways), None));
        }
        let took = world.run(&course(Size::Fixed(gateways), None), |world, _| {
            world.is_settled(gateways)
        });
        assert!(took < 400, "seed {seed}: {took} s");
        assert_eq!(world.clients().len(), 400, "seed {seed}");
        assert!(world.worst <= 10, "seed {seed}: {} in a second", world.worst);
    }
}
