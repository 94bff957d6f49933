//! Whole rolls and changes of size, second by second: decisions against a model of Kubernetes and of gateways with clients, of
//! which each remembers how often it was cut. The operator keeps nothing between two decisions but the status.

mod cut;
mod hostile;
mod pod;
mod stuck;
mod world;

use self::world::{LIMIT, World};
use super::*;
use crate::{
    fleet::{Gateway, Leaving, Revision, Sample, tests::at},
    scaling::{Automatic, Ceilings},
};

fn course(size: Size, max_surge: Option<usize>) -> Course {
    Course {
        size,
        max_surge,
        ready_timeout: Duration::from_mins(5),
        rate: 10.0,
        settle: Duration::from_secs(5),
        skew_percent: None,
    }
}

#[test]
fn a_roll_cuts_each_client_once_within_the_budget() {
    let mut world = World::new(3, 100);
    world.current = "b".to_owned();
    let took = world.run(&course(Size::Fixed(3), None), |world, _| {
        world.deployments.len() == 1
    });
    let clients = world.clients();
    assert_eq!((clients.len(), clients.iter().max()), (300, Some(&1)));
    assert_eq!(world.worst, 10);
    assert!(
        (30..60).contains(&took),
        "300 clients at 10 a second, and little more: {took} s"
    );
    assert_eq!(world.pods.len(), 3);
}

#[test]
fn a_lower_surge_keeps_to_its_number_and_gives_up_the_promise() {
    let mut world = World::new(3, 100);
    world.current = "b".to_owned();
    let course = course(Size::Fixed(3), Some(1));
    let mut most = 0;
    while !world.tick(&course).stage.is_done() || world.deployments.len() > 1 {
        most = most.max(world.pods.len());
        assert!(world.now < LIMIT);
    }
    assert_eq!((most, world.worst), (4, 10));
    let clients = world.clients();
    assert_eq!(clients.len(), 300);
    assert!(clients.iter().any(|cuts| *cuts > 1));
}

#[test]
fn a_roll_that_is_taken_back_in_the_middle_ends_where_it_began() {
    let mut world = World::new(3, 100);
    let course = course(Size::Fixed(3), None);
    world.current = "b".to_owned();
    for _ in 0..25 {
        world.tick(&course);
    }
    assert!(
        world.clients().contains(&1) && world.clients().contains(&0),
        "it is under way"
    );
    world.current = "a".to_owned();
    world.run(&course, |world, _| world.deployments.len() == 1);
    assert!(
        world
            .pods
            .iter()
            .all(|pod| pod.revision == "a" && pod.gateway.leaving.is_none())
    );
    assert_eq!((world.clients().len(), world.pods.len()), (300, 3));
}

#[test]
fn from_two_to_four_to_two() {
    let mut world = World::new(2, 100);
    world.run(&course(Size::Fixed(4), None), |world, _| world.pods.len() == 4);
    for _ in 0..10 {
        world.tick(&course(Size::Fixed(4), None));
    }
    assert_eq!(world.worst, 0, "growing cuts nobody");
    for (number, pod) in world.pods.iter_mut().enumerate() {
        pod.clients = vec![0; 50 + number];
    }
    world.run(&course(Size::Fixed(2), None), |world, _| world.pods.len() == 2);
    let clients = world.clients();
    assert_eq!((clients.len(), clients.iter().max()), (206, Some(&1)));
    assert!(world.worst <= 10);
}

#[test]
fn the_number_follows_the_clients_up_and_down() {
    let automatic = Automatic {
        min: 2,
        max: 5,
        ceilings: Ceilings {
            connections: 100,
            cpu: None,
            memory: None,
        },
        window: Duration::from_mins(1),
    };
    let course = course(Size::Automatic(automatic), None);
    let mut world = World::new(2, 90);
    world.pods[0].clients = vec![0; 250];
    let up = world.run(&course, |world, _| world.pods.len() == 4);
    assert!(up < 10, "up at once: {up} s");
    for pod in &mut world.pods {
        pod.clients.truncate(10);
    }
    let down = world.run(&course, |world, _| world.pods.len() == 2);
    assert!(down >= 60, "down after the window: {down} s");
}
