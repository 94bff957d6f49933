//! A model of Kubernetes, of gateways with clients, and of the calls between them and the operator, second by second.
//!
//! What is on a pod, what a gateway does, and what the operator has heard of it are three things, and may differ: a call can be
//! lost, an answer can be missing, an operator can end between the two. Chance has a fixed seed.

use std::collections::BTreeMap;

use super::*;

/// Seconds until a pod is ready.
const START: i64 = 3;
/// Seconds that the operator goes by an answer.
const MAX_AGE: i64 = 30;
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

pub(super) struct Pod {
    pub(super) revision: String,
    made: i64,
    /// What Kubernetes holds of it.
    pub(super) gateway: Gateway,
    /// When it became ready or ceased to be.
    changed: i64,
    ready: bool,
    /// It is not ready before that, whatever it does.
    unready_until: i64,
    /// What the gateway does.
    cordoned: bool,
    /// Connections a second that it closes now.
    pub(super) rate: Option<f64>,
    /// Cuts that each of its clients has had.
    pub(super) clients: Vec<u32>,
    /// What the operator heard of it last.
    heard: Option<(i64, Sample)>,
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
            if !missing && now > pod.made {
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
            if !self.chance(self.faults.call) {
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

impl Pod {
    fn new(revision: &str, pod: &str, made: i64) -> Self {
        let gateway = Gateway {
            pod: pod.to_owned(),
            made: Some(at(made)),
            running: true,
            accepting: true,
            ..Gateway::default()
        };
        Self {
            revision: revision.to_owned(),
            made,
            gateway,
            changed: made,
            ready: false,
            unready_until: made + START,
            cordoned: false,
            rate: None,
            clients: Vec::new(),
            heard: None,
        }
    }

    /// A revision whose name says so never gets ready.
    fn probe(&mut self, now: i64) {
        let ready = !self.revision.starts_with("bad") && self.rate.is_none() && now >= self.unready_until;
        if ready != self.ready {
            (self.ready, self.changed) = (ready, now);
        }
    }

    /// Whether a client gets in.
    fn is_open(&self) -> bool {
        self.ready && self.gateway.accepting && self.rate.is_none()
    }

    fn hear(&mut self, now: i64, bus_up: bool) {
        let sample = Sample {
            connections: self.clients.len() as u64,
            connection_limit: 100_000,
            cordoned: self.cordoned,
            draining: self.rate.is_some(),
            drain_rate: self.rate,
            empty: self.rate.is_some() && self.clients.is_empty(),
            bus_up,
            ..Sample::default()
        };
        self.heard = Some((now, sample));
    }

    fn seen(&self, now: i64) -> Gateway {
        let heard = self.heard.as_ref().filter(|(when, _)| now - when <= MAX_AGE);
        Gateway {
            ready_since: self.ready.then(|| at(self.changed)),
            unready_since: (!self.ready).then(|| at(self.changed)),
            has_served: self.changed > self.made,
            ever_ready: self.changed > self.made,
            sample: heard.map(|(_, sample)| sample.clone()),
            ..self.gateway.clone()
        }
    }

    /// What Kubernetes holds of it from now on.
    fn write(&mut self, action: &Action, now: i64) {
        let gateway = &mut self.gateway;
        match action {
            Action::Cordon { why, .. } => {
                gateway.accepting = false;
                gateway.leaving = Some(Leaving {
                    why: *why,
                    since: at(now),
                    until: None,
                });
            }
            Action::Accept { .. } => {
                (gateway.accepting, gateway.leaving, gateway.marked) = (true, None, false);
                gateway.accepted = Some(at(now));
            }
            Action::Drain { until, .. } => gateway.leaving.as_mut().unwrap().until = Some(*until),
            Action::Pause { .. } => {
                let leaving = gateway.leaving.as_mut().unwrap();
                (leaving.since, leaving.until) = (at(now), None);
            }
            Action::Mark { .. } => gateway.marked = true,
            Action::Scale { .. } | Action::Shed { .. } => {}
        }
    }

    /// What the gateway does from now on, and answers.
    fn tell(&mut self, action: &Action, now: i64, bus: bool) {
        match action {
            Action::Cordon { .. } => self.cordoned = true,
            Action::Accept { .. } => (self.cordoned, self.rate) = (false, None),
            Action::Drain { rate, .. } => self.rate = Some(*rate),
            Action::Pause { .. } => (self.cordoned, self.rate) = (true, None),
            Action::Mark { .. } | Action::Scale { .. } | Action::Shed { .. } => return,
        }
        self.hear(now, bus);
    }
}
