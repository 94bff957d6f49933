//! Whole rolls and changes of size, second by second: decisions against a model of Kubernetes and of gateways with clients, of
//! which each remembers how often it was cut. The operator keeps nothing between two decisions but the status.

use super::*;
use crate::{
    fleet::{Gateway, Leaving, Revision, Sample, tests::at},
    scaling::{Automatic, Ceilings},
};

/// Seconds until a pod is ready.
const START: i64 = 3;
/// Longest simulation, in seconds.
const LIMIT: i64 = 2_000;

struct Pod {
    revision: String,
    made: i64,
    gateway: Gateway,
    /// Connections a second that it closes now.
    rate: Option<f64>,
    /// Cuts that each of its clients has had.
    clients: Vec<u32>,
}

struct World {
    now: i64,
    current: String,
    /// Deployments: revision and pods that there shall be.
    deployments: Vec<(String, usize)>,
    pods: Vec<Pod>,
    memory: Memory,
    random: fastrand::Rng,
    /// Most clients cut in one second.
    worst: usize,
}

impl World {
    /// A cluster of ready gateways with so many clients each.
    fn new(gateways: usize, clients: usize) -> Self {
        let mut world = Self {
            now: 0,
            current: "a".to_owned(),
            deployments: vec![("a".to_owned(), gateways)],
            pods: Vec::new(),
            memory: Memory::default(),
            random: fastrand::Rng::with_seed(7),
            worst: 0,
        };
        world.kubernetes();
        for pod in &mut world.pods {
            pod.made = -1_000;
            pod.clients = vec![0; clients];
        }
        world
    }

    fn fleet(&self) -> Fleet {
        let revision = |(name, replicas): &(String, usize)| Revision {
            name: name.clone(),
            replicas: i32::try_from(*replicas).unwrap(),
            made: Some(at(self.now - 1)),
            gateways: self
                .pods
                .iter()
                .filter(|pod| pod.revision == *name)
                .map(|pod| pod.seen(self.now))
                .collect(),
        };
        let (current, former): (Vec<_>, Vec<_>) = self
            .deployments
            .iter()
            .map(revision)
            .partition(|revision| revision.name == self.current);
        Fleet {
            current: current.into_iter().next().unwrap_or_else(|| Revision {
                name: self.current.clone(),
                ..Revision::default()
            }),
            former,
        }
    }

    /// One second: a decision, Kubernetes, and the gateways' closes.
    fn tick(&mut self, course: &Course) -> Steering {
        let steering = steer(&self.fleet(), course, &self.memory, at(self.now));
        self.memory = steering.sizing.memory.clone();
        self.set(&self.current.clone(), steering.replicas);
        for action in &steering.actions {
            self.act(action);
        }
        self.deployments
            .retain(|(name, _)| !steering.removed.contains(name));
        self.kubernetes();
        self.close();
        self.now += 1;
        steering
    }

    fn set(&mut self, revision: &str, replicas: usize) {
        match self.deployments.iter_mut().find(|(name, _)| name == revision) {
            Some((_, wanted)) => *wanted = replicas,
            None => self.deployments.push((revision.to_owned(), replicas)),
        }
    }

    fn act(&mut self, action: &Action) {
        if let Action::Scale { revision, replicas } = action {
            return self.set(revision, usize::try_from(*replicas).unwrap());
        }
        let now = at(self.now);
        let pod = self
            .pods
            .iter_mut()
            .find(|pod| Some(pod.gateway.pod.as_str()) == action.pod());
        let pod = pod.unwrap();
        let gateway = &mut pod.gateway;
        match action {
            Action::Cordon { why, .. } => {
                gateway.accepting = false;
                gateway.leaving = Some(Leaving {
                    why: *why,
                    since: now,
                    until: None,
                });
            }
            Action::Accept { .. } => {
                (gateway.accepting, gateway.leaving, gateway.marked) = (true, None, false);
                pod.rate = None;
            }
            Action::Drain { rate, until, .. } => {
                gateway.leaving.as_mut().unwrap().until = Some(*until);
                pod.rate = Some(*rate);
            }
            Action::Pause { .. } => {
                gateway.leaving.as_mut().unwrap().until = None;
                pod.rate = None;
            }
            Action::Mark { .. } => gateway.marked = true,
            Action::Scale { .. } | Action::Shed { .. } => {}
        }
    }

    /// Makes and removes pods, as Deployments do.
    fn kubernetes(&mut self) {
        let now = self.now;
        let wanted = self.deployments.clone();
        for pod in &self.pods {
            let is_owned = wanted.iter().any(|(name, _)| *name == pod.revision);
            assert!(
                is_owned || pod.clients.is_empty(),
                "{} went with clients",
                pod.gateway.pod
            );
        }
        self.pods
            .retain(|pod| wanted.iter().any(|(name, _)| *name == pod.revision));
        for (revision, replicas) in wanted {
            let there = |pods: &[Pod]| pods.iter().filter(|pod| pod.revision == revision).count();
            while there(&self.pods) < replicas {
                let pod = format!("{revision}-{}-{}", now, self.random.u32(..));
                self.pods.push(Pod::new(&revision, &pod, now));
            }
            while there(&self.pods) > replicas {
                let first = (0..self.pods.len())
                    .filter(|index| self.pods[*index].revision == revision)
                    .min_by_key(|index| {
                        let pod = &self.pods[*index];
                        let seen = pod.seen(now);
                        (seen.is_ready(), !pod.gateway.marked, -pod.made)
                    });
                let gone = self.pods.remove(first.unwrap());
                assert!(
                    gone.clients.is_empty(),
                    "{} was removed with clients",
                    gone.gateway.pod
                );
            }
        }
    }

    fn close(&mut self) {
        let mut cut = Vec::new();
        for pod in &mut self.pods {
            let mut quota = pod.rate.unwrap_or_default();
            while quota >= 1.0
                && let Some(client) = pod.clients.pop()
            {
                cut.push(client + 1);
                quota -= 1.0;
            }
        }
        self.worst = self.worst.max(cut.len());
        let now = self.now;
        let mut open: Vec<_> = self
            .pods
            .iter_mut()
            .filter(|pod| pod.seen(now).serves())
            .collect();
        for client in cut {
            let chosen = self.random.usize(..open.len());
            open[chosen].clients.push(client);
        }
    }

    fn clients(&self) -> Vec<u32> {
        self.pods.iter().flat_map(|pod| pod.clients.clone()).collect()
    }

    /// Runs until a second in which everything is as it shall be; that second.
    fn run(&mut self, course: &Course, done: impl Fn(&Self, &Steering) -> bool) -> i64 {
        let begun = self.now;
        loop {
            let steering = self.tick(course);
            assert!(self.now - begun < LIMIT, "{:?} {:?}", steering, self.fleet());
            if steering.stage.is_done() && done(self, &steering) {
                return self.now - begun;
            }
        }
    }
}

impl Pod {
    fn new(revision: &str, pod: &str, made: i64) -> Self {
        let gateway = Gateway {
            pod: pod.to_owned(),
            running: true,
            accepting: true,
            ..Gateway::default()
        };
        Self {
            revision: revision.to_owned(),
            made,
            gateway,
            rate: None,
            clients: Vec::new(),
        }
    }

    fn seen(&self, now: i64) -> Gateway {
        let ready = now >= self.made + START && self.rate.is_none();
        Gateway {
            ready_since: ready.then(|| at(self.made + START)),
            has_served: ready,
            sample: (now > self.made).then(|| Sample {
                connections: self.clients.len() as u64,
                connection_limit: 100_000,
                draining: self.rate.is_some(),
                empty: self.rate.is_some() && self.clients.is_empty(),
                bus_up: true,
                ..Sample::default()
            }),
            ..self.gateway.clone()
        }
    }
}

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
