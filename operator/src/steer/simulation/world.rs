//! A model of Kubernetes, of gateways with clients, and of the calls between them and the operator, second by second.
//!
//! What is on a pod, what a gateway does, and what the operator has heard of it are three things, and may differ: a call can be
//! lost, an answer can be missing, an operator can end between the two. Chance has a fixed seed.

use std::collections::BTreeMap;

use super::{
    pod::{Pod, START},
    *,
};

/// Longest simulation, in seconds.
pub(super) const LIMIT: i64 = 4_000;

/// What goes wrong, in a thousand times that it could.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    /// Kubernetes refuses a write.
    pub(super) write: u32,
    /// A call does not reach the gateway.
    pub(super) call: u32,
    /// A gateway's answer is missing.
    pub(super) answer: u32,
    /// The operator ends before a call, and the next one knows nothing.
    pub(super) restart: u32,
    /// A gateway is not ready for some seconds.
    pub(super) unready: u32,
    /// A pod is evicted.
    pub(super) evict: u32,
    /// The ops port of one gateway, or else of all, cannot be reached for minutes.
    pub(super) cut: u32,
}

pub(super) struct World {
    pub(super) now: i64,
    pub(super) current: String,
    pub(super) faults: Faults,
    /// Gateways are connected to NATS.
    pub(super) bus: bool,
    /// Most pods that there may be.
    pub(super) quota: usize,
    /// Deployments by revision.
    pub(super) deployments: BTreeMap<String, Deployment>,
    pub(super) pods: Vec<Pod>,
    pub(super) memory: Memory,
    pub(super) random: fastrand::Rng,
    /// Cuts that clients without a gateway have had.
    pub(super) waiting: Vec<u32>,
    /// Most clients cut in one second by what the operator ordered.
    pub(super) worst: usize,
}

#[derive(Clone, Default)]
pub(super) struct Deployment {
    pub(super) replicas: usize,
    made: i64,
    /// All its pods were ready at once.
    completed: bool,
}

impl World {
    /// A cluster of ready gateways with so many clients each.
    pub(super) fn new(gateways: usize, clients: usize) -> Self {
        let mut world = Self {
            now: -1_000,
            current: "a".to_owned(),
            faults: Faults::default(),
            bus: true,
            quota: usize::MAX,
            deployments: BTreeMap::new(),
            pods: Vec::new(),
            memory: Memory::default(),
            random: fastrand::Rng::with_seed(7),
            waiting: Vec::new(),
            worst: 0,
        };
        world.set("a", gateways);
        world.kubernetes();
        world.now += START;
        world.kubernetes();
        world.now = 0;
        for pod in &mut world.pods {
            pod.clients = vec![0; clients];
        }
        world
    }

    pub(super) fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.random.u32(0..1_000) < thousandths
    }

    fn fleet(&self) -> Fleet {
        let revision = |(name, deployment): (&String, &Deployment)| Revision {
            name: name.clone(),
            replicas: i32::try_from(deployment.replicas).unwrap(),
            made: Some(at(deployment.made)),
            completed: deployment.completed,
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

    /// One second: questions, a decision, what is done about it, Kubernetes, and the gateways' closes.
    pub(super) fn tick(&mut self, course: &Course) -> Steering {
        self.ask();
        let steering = steer(&self.fleet(), course, &self.memory, at(self.now));
        self.memory = steering.sizing.memory.clone();
        self.set(&self.current.clone(), steering.replicas);
        if self.carry_out(&steering.actions) {
            self.deployments
                .retain(|name, _| !steering.removed.contains(name));
        }
        self.fail();
        self.kubernetes();
        self.close();
        self.now += 1;
        steering
    }

    fn ask(&mut self) {
        for index in 0..self.pods.len() {
            let missing = self.chance(self.faults.answer);
            let (now, bus) = (self.now, self.bus);
            let pod = &mut self.pods[index];
            if !missing && pod.answers(now) {
                pod.hear(now, bus);
            }
        }
    }

    pub(super) fn set(&mut self, revision: &str, replicas: usize) {
        let made = self.now;
        let deployment = self.deployments.entry(revision.to_owned());
        deployment
            .or_insert_with(|| Deployment {
                made,
                ..Deployment::default()
            })
            .replicas = replicas;
    }

    /// Whether the operator lived to see the end of it.
    fn carry_out(&mut self, actions: &[Action]) -> bool {
        let pods = |kind: fn(&Action) -> bool| {
            actions
                .iter()
                .filter(move |action| kind(action))
                .filter_map(Action::pod)
        };
        let mut put_back = pods(|action| matches!(action, Action::Accept { .. }));
        let contradicted = put_back
            .find(|pod| pods(|action| matches!(action, Action::Cordon { .. })).any(|other| other == *pod));
        assert_eq!(contradicted, None, "{actions:?}");
        for action in actions {
            if self.chance(self.faults.write) {
                continue;
            }
            if let Action::Scale { revision, replicas } = action {
                self.set(revision, usize::try_from(*replicas).unwrap());
                continue;
            }
            let pod = self
                .pods
                .iter()
                .position(|pod| Some(pod.gateway.pod.as_str()) == action.pod());
            let pod = pod.unwrap();
            self.pods[pod].write(action, self.now);
            if self.chance(self.faults.restart) {
                self.restart_operator();
                return false;
            }
            if !self.chance(self.faults.call) && self.pods[pod].is_reached(self.now) {
                self.pods[pod].tell(action, self.now, self.bus);
            }
        }
        true
    }

    pub(super) fn restart_operator(&mut self) {
        for pod in &mut self.pods {
            pod.heard = None;
        }
    }

    /// What happens to gateways without the operator.
    fn fail(&mut self) {
        for index in 0..self.pods.len() {
            if self.chance(self.faults.unready) {
                self.pods[index].unready_until = self.now + self.random.i64(2..6);
            }
        }
        if self.chance(self.faults.cut) && !self.pods.is_empty() {
            let until = self.now + self.random.i64(100..400);
            // Past the last one: all of them.
            let one = self.random.usize(..=self.pods.len());
            let all = one == self.pods.len();
            for (index, pod) in self.pods.iter_mut().enumerate() {
                if all || index == one {
                    pod.cut_until = until;
                }
            }
        }
        if self.chance(self.faults.evict) && !self.pods.is_empty() {
            let gone = self.pods.remove(self.random.usize(..self.pods.len()));
            self.waiting.extend(gone.clients);
        }
    }

    /// Makes and removes pods, as Deployments do, and looks which are ready.
    fn kubernetes(&mut self) {
        let deployments = self.deployments.clone();
        for pod in &self.pods {
            assert!(
                deployments.contains_key(&pod.revision) || pod.clients.is_empty(),
                "{} went with clients",
                pod.gateway.pod
            );
        }
        self.pods.retain(|pod| deployments.contains_key(&pod.revision));
        for (revision, deployment) in &deployments {
            let there = |pods: &[Pod]| pods.iter().filter(|pod| pod.revision == *revision).count();
            while there(&self.pods) > deployment.replicas {
                self.remove_one(revision);
            }
            while there(&self.pods) < deployment.replicas && self.pods.len() < self.quota {
                let pod = format!("{revision}-{}-{}", self.now, self.random.u32(..));
                self.pods.push(Pod::new(revision, &pod, self.now));
            }
        }
        for pod in &mut self.pods {
            pod.probe(self.now);
        }
        for (revision, deployment) in &mut self.deployments {
            let mut pods = self.pods.iter().filter(|pod| pod.revision == *revision);
            let all = pods.clone().count() >= deployment.replicas;
            deployment.completed |= all && deployment.replicas > 0 && pods.all(|pod| pod.ready);
        }
    }

    fn remove_one(&mut self, revision: &str) {
        let first = (0..self.pods.len())
            .filter(|index| self.pods[*index].revision == revision)
            .min_by_key(|index| {
                let pod = &self.pods[*index];
                (pod.ready, !pod.gateway.marked, -pod.made)
            });
        let gone = self.pods.remove(first.unwrap());
        assert!(
            gone.clients.is_empty(),
            "{} was removed with {} clients",
            gone.gateway.pod,
            gone.clients.len()
        );
    }

    /// Gateways close connections, and whoever has none takes what the Service offers.
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
        cut.append(&mut self.waiting);
        let mut open: Vec<_> = self.pods.iter_mut().filter(|pod| pod.is_open()).collect();
        if open.is_empty() {
            self.waiting = cut;
            return;
        }
        for client in cut {
            let chosen = self.random.usize(..open.len());
            open[chosen].clients.push(client);
        }
    }

    /// Cuts of every client.
    pub(super) fn clients(&self) -> Vec<u32> {
        let connected = self.pods.iter().flat_map(|pod| pod.clients.clone());
        connected.chain(self.waiting.clone()).collect()
    }

    /// Runs until a second in which everything is as it shall be; that second.
    pub(super) fn run(&mut self, course: &Course, done: impl Fn(&Self, &Steering) -> bool) -> i64 {
        let begun = self.now;
        loop {
            let steering = self.tick(course);
            assert!(self.now - begun < LIMIT, "{:?} {:?}", steering, self.fleet());
            if steering.stage.is_done() && done(self, &steering) {
                return self.now - begun;
            }
        }
    }

    /// Nothing is under way any more: so many gateways of the current revision serve, and nobody else is there.
    pub(super) fn is_settled(&self, gateways: usize) -> bool {
        self.deployments.len() == 1
            && self.pods.len() == gateways
            && self
                .pods
                .iter()
                .all(|pod| pod.is_open() && pod.revision == self.current && pod.gateway.leaving.is_none())
            && self.waiting.is_empty()
    }
}
