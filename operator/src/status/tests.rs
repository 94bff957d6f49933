use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::{
    build::{self, Built},
    dereference::Observed,
    error::Category,
    fleet::{self, ConfigState, Fleet, Sample},
    kinds::Kind,
    progress::{Progress, progress},
    scaling::LastShed,
    steer::{Steering, steer},
    validate::{OperatorDefaults, ValidCluster, validate},
};

fn cluster(change: impl FnOnce(&mut Value)) -> ChatCluster {
    let mut value = json!({
        "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
        "metadata": {"name": "chat", "namespace": "default", "uid": "1", "generation": 3},
        "spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn defaults() -> OperatorDefaults {
    OperatorDefaults {
        gateway_image: "gateway:2".to_owned(),
    }
}

fn now(text: &str) -> Time {
    Time(text.parse().unwrap())
}

struct Scene {
    cluster: ChatCluster,
    valid: ValidCluster,
    built: Built,
    observed: Observed,
    /// Whether a gateway has the bus; `None`: it does not answer.
    bus: HashMap<String, Option<bool>>,
    /// Durable namespaces that a gateway cannot use.
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// Whether a gateway has its configuration; it has without.
    config: HashMap<String, ConfigState>,
    /// What failed and may pass by itself.
    passing: Option<Error>,
}

impl Scene {
    fn new(cluster: ChatCluster) -> Self {
        let valid = validate(&cluster, &defaults()).unwrap();
        let built = build::build(&valid).unwrap();
        Self {
            cluster,
            valid,
            built,
            observed: Observed::default(),
            bus: HashMap::new(),
            namespaces: HashMap::new(),
            config: HashMap::new(),
            passing: None,
        }
    }

    /// Makes the Deployment of a revision, or the `StatefulSet`, with a status.
    fn with(mut self, kind: Kind, revision: Option<&str>, status: &Value) -> Self {
        let built = self
            .built
            .objects
            .iter()
            .find(|object| object.kind == kind)
            .unwrap();
        let mut object = built.value.clone();
        object.metadata.generation = Some(1);
        if let Some(revision) = revision {
            object
                .metadata
                .labels
                .as_mut()
                .unwrap()
                .insert(build::REVISION.to_owned(), revision.to_owned());
            object.metadata.name = Some(format!("chat-gateway-{revision}"));
        }
        object.data["status"] = status.clone();
        self.observed.objects.push((kind, Arc::new(object)));
        self
    }

    fn gateways(self, ready: i32) -> Self {
        let status =
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": ready});
        let names: Vec<_> = (1..=ready).map(|number| format!("chat-{number}")).collect();
        self.with(Kind::Deployment, None, &status)
            .pods(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Gateways that do not have the bus, or do not answer.
    fn samples(mut self, samples: &[(&str, Option<bool>)]) -> Self {
        let samples = samples.iter().map(|(pod, bus)| ((*pod).to_owned(), *bus));
        self.bus = samples.collect();
        self
    }

    fn nats(self, ready: i32) -> Self {
        let status = json!({"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": 3});
        self.with(Kind::StatefulSet, None, &status)
    }

    /// Pods of the current revision that are ready.
    fn pods(mut self, names: &[&str]) -> Self {
        for name in names {
            let pod = json!({
                "metadata": {"name": name, "labels": {
                    (build::COMPONENT): build::GATEWAY, (build::REVISION): self.built.revision, (build::ACCEPTING): "true",
                }},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{"name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                        "state": {"running": {}}}],
                },
            });
            self.observed
                .pods
                .push(Arc::new(serde_json::from_value(pod).unwrap()));
        }
        self
    }

    /// All pods so far are of this revision.
    fn of_revision(mut self, revision: &str) -> Self {
        for pod in &mut self.observed.pods {
            let labels = &mut Arc::make_mut(pod).metadata.labels;
            labels
                .get_or_insert_default()
                .insert(build::REVISION.to_owned(), revision.to_owned());
        }
        self
    }

    fn progress(&self) -> Progress {
        progress(
            &self.valid,
            &self.built,
            &self.observed,
            self.steering().sizing.desired,
        )
    }

    fn fleet(&self) -> Fleet {
        let sample = Sample {
            connections: 1_234,
            connection_limit: 65_000,
            bus_up: true,
            ..Sample::default()
        };
        fleet::observe(&self.observed, &self.built.revision, |pod| {
            let bus_up = self.bus.get(&pod.name_any()).copied().unwrap_or(Some(true))?;
            let name = pod.name_any();
            Some(Sample {
                bus_up,
                namespaces: self.namespaces.get(&name).cloned().unwrap_or_default(),
                config: self.config.get(&name).cloned().unwrap_or_default(),
                ..sample.clone()
            })
        })
    }

    fn steering(&self) -> Steering {
        let now = now("2026-01-01T00:00:00Z").0;
        steer(
            &self.fleet(),
            &self.valid.course,
            &memory(&self.cluster, &self.built.revision),
            now,
        )
    }

    fn status(&self, missing: &[Kind], errors: &[Error]) -> ChatClusterStatus {
        let outcome = Outcome {
            observed: &self.observed,
            current: Some(Current {
                cluster: &self.valid,
                built: &self.built,
                progress: &self.progress(),
                fleet: &self.fleet(),
                steering: &self.steering(),
            }),
            missing,
            errors,
            passing: self.passing.as_ref(),
            defaults: &defaults(),
        };
        compute(&self.cluster, &outcome, &now("2026-01-01T00:00:00Z"))
    }
}

fn answer(status: &ChatClusterStatus, type_: &str) -> (String, String) {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap();
    assert_eq!(condition.observed_generation, Some(3));
    (condition.status.clone(), condition.reason.clone())
}

fn is(status: &ChatClusterStatus, type_: &str, expected: (&str, &str)) {
    let (status, reason) = answer(status, type_);
    assert_eq!((status.as_str(), reason.as_str()), expected, "{type_}");
}

#[test]
fn a_cluster_that_is_well_says_so() {
    let status = Scene::new(cluster(|_| {})).gateways(2).nats(3).status(&[], &[]);
    is(&status, "Ready", ("True", "AllReady"));
    is(&status, "Reconciling", ("False", "UpToDate"));
    is(&status, "Stalled", ("False", "NoError"));
    is(&status, "ApisAvailable", ("True", "AllFound"));
    assert_eq!(status.gateways.unwrap().summary, "2/2");
    assert_eq!(status.nats.unwrap().summary, "3/3");
    assert_eq!((status.observed_generation, status.replicas), (Some(3), 2));
    assert!(
        status
            .selector
            .unwrap()
            .contains("app.kubernetes.io/instance=chat")
    );
}

#[test]
fn nothing_there_yet_is_a_start() {
    let status = Scene::new(cluster(|_| {})).status(&[], &[]);
    is(&status, "Ready", ("False", "GatewaysStarting"));
    is(&status, "BusReady", ("False", "NoMajority"));
    is(&status, "Reconciling", ("True", "RollingOut"));
}

#[test]
fn a_majority_of_nats_servers_is_enough() {
    let scene = |ready| {
        Scene::new(cluster(|_| {}))
            .gateways(2)
            .nats(ready)
            .status(&[], &[])
    };
    is(&scene(2), "BusReady", ("True", "ServersMissing"));
    is(&scene(2), "Ready", ("True", "AllReady"));
    is(&scene(1), "Ready", ("False", "NoMajority"));
}

fn message(status: &ChatClusterStatus, type_: &str) -> String {
    let mut conditions = status.conditions.iter();
    let condition = conditions.find(|condition| condition.type_ == type_);
    condition.unwrap().message.clone()
}

fn external(value: &mut Value) {
    value["spec"]["bus"] = json!({"external": {"servers": ["nats://nats:4222"]}});
}

#[test]
fn what_the_gateways_say_of_the_bus_counts() {
    let (up, down, silent) = (Some(true), Some(false), None);
    for (said, managed, alone, text) in [
        (
            [up, up],
            ("True", "AllServersReady"),
            ("True", "Connected"),
            "2 of 2 gateways are connected to NATS",
        ),
        (
            [up, silent],
            ("True", "AllServersReady"),
            ("True", "Connected"),
            "1 of 1 gateways are connected to NATS",
        ),
        (
            [up, down],
            ("True", "PartlyConnected"),
            ("True", "PartlyConnected"),
            "1 of 2 gateways are connected to NATS, but not chat-2",
        ),
        (
            [down, down],
            ("False", "BusDown"),
            ("False", "BusDown"),
            "0 of 2 gateways are connected to NATS",
        ),
        (
            [silent, silent],
            ("Unknown", "NotAsked"),
            ("Unknown", "NotAsked"),
            "no gateway has said lately whether it is connected",
        ),
    ] {
        let samples = [("chat-1", said[0]), ("chat-2", said[1])];
        let of_managed = Scene::new(cluster(|_| {})).gateways(2).nats(3).samples(&samples);
        is(&of_managed.status(&[], &[]), "BusReady", managed);
        let of_external = Scene::new(cluster(external)).gateways(2).samples(&samples);
        let status = of_external.status(&[], &[]);
        is(&status, "BusReady", alone);
        assert_eq!(message(&status, "BusReady"), text);
        let ready = if alone.0 == "True" {
            ("True", "AllReady")
        } else {
            ("False", alone.1)
        };
        is(&status, "Ready", ready);
    }
}

#[test]
fn a_namespace_that_nobody_can_use_is_no_bus() {
    let mut scene = Scene::new(cluster(|_| {})).gateways(2).nats(3);
    let why = "JetStream has not answered for its streams";
    let log = BTreeMap::from([("log".to_owned(), why.to_owned())]);
    scene.namespaces.insert("chat-1".to_owned(), log.clone());
    let status = scene.status(&[], &[]);
    is(&status, "BusReady", ("True", "PartlyUsable"));
    scene.namespaces.insert("chat-2".to_owned(), log);
    let status = scene.status(&[], &[]);
    is(&status, "BusReady", ("False", "NamespaceUnusable"));
    is(&status, "Ready", ("False", "NamespaceUnusable"));
    assert_eq!(
        message(&status, "BusReady"),
        format!("3 of 3 NATS servers are ready; nothing can be stored in namespace log: {why}")
    );
}

#[test]
fn a_configuration_on_its_way_and_one_that_is_refused() {
    let mut scene = Scene::new(cluster(|_| {})).gateways(2).nats(3);
    scene.config.insert("chat-2".to_owned(), ConfigState::Awaited);
    let status = scene.status(&[], &[]);
    is(&status, "Reconciling", ("True", "ConfigSpreading"));
    is(&status, "Stalled", ("False", "NoError"));
    is(&status, "Ready", ("True", "AllReady"));
    let refused = ConfigState::Refused("limits.x: no such key".to_owned());
    scene.config.insert("chat-2".to_owned(), refused);
    let status = scene.status(&[], &[]);
    is(&status, "Stalled", ("True", "ConfigRefused"));
    is(&status, "Ready", ("False", "ConfigRefused"));
    assert_eq!(
        message(&status, "Stalled"),
        "gateway chat-2 refused its last configuration: limits.x: no such key"
    );
}

#[test]
fn a_cluster_that_was_ready_stays_so_while_nobody_answers() {
    let mut scene = Scene::new(cluster(external)).gateways(2);
    scene.cluster.status = Some(scene.status(&[], &[]));
    let scene = scene.samples(&[("chat-1", None), ("chat-2", None)]);
    let status = scene.status(&[], &[]);
    is(&status, "BusReady", ("Unknown", "NotAsked"));
    is(&status, "Ready", ("True", "AllReady"));
}

#[test]
fn without_gateways_there_is_nobody_to_ask() {
    let none = |value: &mut Value| {
        external(value);
        value["spec"]["gateways"]["replicas"] = json!(0);
    };
    let status = Scene::new(cluster(none)).gateways(0).status(&[], &[]);
    is(&status, "BusReady", ("Unknown", "NoGateways"));
    is(&status, "Ready", ("True", "AllReady"));
}

#[test]
fn gateways_of_a_former_revision_serve_on() {
    let old = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
    let scene = Scene::new(cluster(|_| {}))
        .gateways(0)
        .with(Kind::Deployment, Some("old"), &old)
        .pods(&["old-1"])
        .of_revision("old")
        .nats(3);
    let status = scene.status(&[], &[]);
    is(&status, "Ready", ("True", "AllReady"));
    is(&status, "Reconciling", ("True", "RevisionStarting"));
    assert_eq!(status.replicas, 4);
    let unwanted = crate::prune::unwanted(&scene.observed, &scene.built, &scene.steering().removed);
    assert!(
        unwanted.is_empty(),
        "nobody is cut off before the new revision serves"
    );
}

#[test]
fn a_former_revision_goes_when_the_new_one_serves() {
    let old = json!({"observedGeneration": 1, "replicas": 2, "availableReplicas": 2});
    let scene = Scene::new(cluster(|_| {}))
        .gateways(2)
        .with(Kind::Deployment, Some("old"), &old)
        .nats(3);
    let unwanted = crate::prune::unwanted(&scene.observed, &scene.built, &scene.steering().removed);
    assert_eq!(
        unwanted
            .iter()
            .map(|(_, object)| object.name_any())
            .collect::<Vec<_>>(),
        ["chat-gateway-old"]
    );
    is(
        &scene.status(&[], &[]),
        "Reconciling",
        ("True", "RevisionCordoned"),
    );
}

#[test]
fn the_number_of_gateways_and_why_is_told() {
    let scaling = json!({"minReplicas": 2, "maxReplicas": 6, "connectionsPerGateway": 100_000});
    let scene = Scene::new(cluster(|value| value["spec"]["scaling"] = scaling))
        .gateways(2)
        .nats(3);
    let status = scene.status(&[], &[]);
    let told = status.scaling.clone().unwrap();
    assert_eq!((told.desired, told.serving, told.draining), (2, 2, 0));
    assert_eq!((told.connections, told.capacity), (2_400, Some(65_000)));
    assert_eq!(told.decision, "2 gateways were found or are the limit");
    is(&status, "CapacityLimited", ("True", "FileLimit"));
    is(&status, "ScalingHeld", ("False", "NotHeld"));
    let mut again = scene.cluster.clone();
    again.status = Some(status);
    assert_eq!(memory(&again, &scene.built.revision).desired, Some(2));
    let message = message(again.status.as_ref().unwrap(), "CapacityLimited");
    assert!(message.contains("gateway chat-1 65000 connections"), "{message}");
    assert_eq!(
        compute_again(&scene, &again).scaling,
        Some(told),
        "nothing new, nothing to write"
    );
}

#[test]
fn what_is_remembered_is_read_as_it_was_written() {
    let mut scene = Scene::new(cluster(|_| {})).gateways(2).nats(3);
    let given_up = LastShed {
        pause_until: now("2026-01-01T00:05:00Z").0,
        skew_percent: 100,
        gateways: 2,
        in_vain: 2,
    };
    let remembered = |shed: &LastShed| {
        json!({"desired": 2, "serving": 2, "draining": 0, "connections": 0, "decision": "", "rollSize": 1,
            "lastShed": {"pauseUntil": Time(shed.pause_until), "skewPercent": 100, "gateways": 2, "inVain": 2}})
    };
    let scaling = serde_json::from_value(remembered(&given_up)).unwrap();
    let status = scene.cluster.status.get_or_insert_default();
    status.scaling = Some(scaling);
    status.revision = Some("before".to_owned());
    let read = memory(&scene.cluster, "before");
    assert_eq!((read.roll, read.shed), (Some(1), Some(given_up)));
    assert_eq!(memory(&scene.cluster, "after").roll, None, "that is another roll");
    let status = scene.status(&[], &[]);
    is(&status, "RebalanceStopped", ("True", "ShedInVain"));
    let mut again = scene.cluster.clone();
    again.status = Some(status);
    let read = memory(&again, &scene.built.revision);
    assert_eq!((read.roll, read.shed), (None, Some(given_up)), "there is no roll");
}

fn compute_again(scene: &Scene, cluster: &ChatCluster) -> ChatClusterStatus {
    let again = Scene {
        cluster: cluster.clone(),
        valid: scene.valid.clone(),
        built: scene.built.clone(),
        observed: scene.observed.clone(),
        bus: HashMap::new(),
        namespaces: HashMap::new(),
        config: HashMap::new(),
        passing: None,
    };
    again.status(&[], &[])
}

#[test]
fn why_pods_are_refused_is_told() {
    let refused = json!({"observedGeneration": 1, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"chat\" is forbidden: exceeded quota: small"}]});
    let scene = Scene::new(cluster(|_| {})).nats(3);
    let revision = scene.built.revision.clone();
    let status = scene
        .with(Kind::Deployment, Some(&revision), &refused)
        .status(&[], &[]);
    is(&status, "GatewaysAvailable", ("False", "PodsRefused"));
    for type_ in ["GatewaysAvailable", "Reconciling"] {
        let mut conditions = status.conditions.iter();
        let message = &conditions.find(|one| one.type_ == type_).unwrap().message;
        assert!(message.contains("exceeded quota: small"), "{message}");
    }
}

#[test]
fn the_kubelets_words_reach_the_condition() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "chat-gateway-1", "labels": {(build::COMPONENT): build::GATEWAY}},
        "status": {"containerStatuses": [{"name": "gateway", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"keys\" not found"}}}]},
    }))
    .unwrap();
    let mut scene = Scene::new(cluster(|_| {})).gateways(0).nats(3);
    scene.observed.pods.push(Arc::new(pod));
    let status = scene.status(&[], &[]);
    is(&status, "GatewaysAvailable", ("False", "ReferenceMissing"));
    let ready = &status.conditions[0];
    assert!(
        ready.message.contains("secret \"keys\" not found"),
        "{}",
        ready.message
    );
}

#[test]
fn what_keeps_a_nats_server_from_running_is_the_bus_s_trouble() {
    let unbound = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "chat-nats-0", "labels": {(build::COMPONENT): build::NATS}},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unbound}]},
    }))
    .unwrap();
    for (ready, answer) in [(0, ("False", "NoMajority")), (2, ("True", "ServersMissing"))] {
        let mut scene = Scene::new(cluster(|_| {})).gateways(1).nats(ready);
        scene.observed.pods.push(Arc::new(pod.clone()));
        let status = scene.status(&[], &[]);
        is(&status, "BusReady", answer);
        let said = message(&status, "BusReady");
        assert!(said.ends_with(&format!("; pod chat-nats-0: {unbound}")), "{said}");
        is(&status, "GatewaysAvailable", ("False", "GatewaysStarting"));
        assert!(!message(&status, "GatewaysAvailable").contains("nats"));
    }
}

#[test]
fn a_missing_api_is_a_condition_and_no_failure() {
    let status = Scene::new(cluster(|_| {}))
        .gateways(2)
        .nats(3)
        .status(&[Kind::PodMonitor], &[]);
    is(&status, "ApisAvailable", ("False", "ApiMissing"));
    is(&status, "Ready", ("True", "AllReady"));
}

#[test]
fn an_object_of_somebody_else_stalls() {
    let error = Error::NotOurs {
        kind: Kind::Service.name(),
        name: "chat".to_owned(),
    };
    let status = Scene::new(cluster(|_| {}))
        .gateways(2)
        .nats(3)
        .status(&[], &[error]);
    is(&status, "Stalled", ("True", "NotOurs"));
    is(&status, "Ready", ("False", "NotOurs"));
}

#[test]
fn what_may_pass_by_itself_needs_no_person() {
    let mut scene = Scene::new(cluster(|_| {})).gateways(2).nats(3);
    scene.passing = Some(Error::Resting {
        text: "cannot apply Ingress chat: the webhook does not answer".to_owned(),
        category: Category::ApplyFailed,
        transient: true,
    });
    let status = scene.status(&[], &[]);
    is(&status, "Stalled", ("False", "NoError"));
    is(&status, "Ready", ("True", "AllReady"));
    is(&status, "Reconciling", ("True", "Retrying"));
}

#[test]
fn the_image_is_pinned_and_a_newer_one_offered() {
    let status = json!({"image": "gateway:1"});
    let pinned = Scene::new(cluster(|value| value["status"] = status.clone())).status(&[], &[]);
    assert_eq!(pinned.image.as_deref(), Some("gateway:1"));
    is(&pinned, "UpgradeAvailable", ("True", "NewerImage"));
    let following = cluster(|value| {
        value["status"] = status.clone();
        value["spec"]["imagePolicy"] = json!("FollowOperator");
    });
    let failing = Scene::new(following.clone()).status(&[], &[]);
    assert_eq!(
        failing.image.as_deref(),
        Some("gateway:1"),
        "Pinned goes back to what ran"
    );
    let following = Scene::new(following).gateways(2).nats(3).status(&[], &[]);
    assert_eq!(following.image.as_deref(), Some("gateway:2"));
    is(&following, "UpgradeAvailable", ("False", "NothingNewer"));
}

#[test]
fn an_image_that_was_asked_for_is_kept_once_every_gateway_runs_it() {
    let asked = || {
        cluster(|value| {
            value["status"] = json!({"image": "gateway:1"});
            value["spec"]["image"] = json!("gateway:3");
        })
    };
    for (ready, kept) in [(0, "gateway:1"), (1, "gateway:1"), (2, "gateway:3")] {
        let status = Scene::new(asked()).gateways(ready).status(&[], &[]);
        assert_eq!(status.image.as_deref(), Some(kept), "{ready} are ready");
    }
    let rolling = Scene::new(asked()).gateways(2);
    let old = json!({"observedGeneration": 1, "replicas": 2, "availableReplicas": 2});
    let rolling = rolling.with(Kind::Deployment, Some("old"), &old);
    assert_eq!(rolling.status(&[], &[]).image.as_deref(), Some("gateway:1"));
}

#[test]
fn times_stay_while_the_answer_does_and_nothing_else_changes() {
    let scene = Scene::new(cluster(|_| {})).gateways(2).nats(3);
    let first = scene.status(&[], &[]);
    let again = ChatCluster {
        status: Some(first.clone()),
        ..scene.cluster.clone()
    };
    let outcome = Outcome {
        observed: &scene.observed,
        current: Some(Current {
            cluster: &scene.valid,
            built: &scene.built,
            progress: &scene.progress(),
            fleet: &scene.fleet(),
            steering: &scene.steering(),
        }),
        missing: &[],
        errors: &[],
        passing: None,
        defaults: &defaults(),
    };
    assert_eq!(compute(&again, &outcome, &now("2026-02-01T00:00:00Z")), first);
}

#[test]
fn what_cannot_be_built_keeps_its_numbers() {
    let invalid = cluster(|value| {
        value["spec"]["gateways"]["podTemplate"] = json!({"spec": {"nodeSelektor": {}, "hostNetwrk": true}});
    });
    let error = Error::from(validate(&invalid, &defaults()).unwrap_err());
    let outcome = Outcome {
        observed: &Observed::default(),
        current: None,
        missing: &[],
        errors: &[error],
        passing: None,
        defaults: &defaults(),
    };
    let status = compute(&invalid, &outcome, &now("2026-01-01T00:00:00Z"));
    is(&status, "Stalled", ("True", "InvalidSpec"));
    is(&status, "GatewaysAvailable", ("Unknown", "NotBuilt"));
    assert!(
        status.conditions[0].message.contains("hostNetwrk"),
        "{}",
        status.conditions[0].message
    );
}
