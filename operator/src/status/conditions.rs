//! The conditions: each answers one question, and `Ready` sums them up. `Reconciling` and `Stalled` are those that tools such
//! as `helm --wait` look for.

mod bus;
mod load;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, Time};

use crate::{
    api::{ChatCluster, ImagePolicy},
    build::{Built, GATEWAY},
    dereference::Observed,
    error::Error,
    fleet::{ConfigView, Fleet},
    kinds::Kind,
    pods,
    progress::Progress,
    rollout::Stage,
    steer::Steering,
    validate::{OperatorDefaults, ValidCluster},
};

/// What a reconcile came to.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    pub observed: &'a Observed,
    /// `None`: nothing could be built.
    pub current: Option<Current<'a>>,
    /// Kinds that the cluster wants and Kubernetes does not have.
    pub missing: &'a [Kind],
    /// What needs a person.
    pub errors: &'a [Error],
    /// What failed and may pass by itself.
    pub passing: Option<&'a Error>,
    pub defaults: &'a OperatorDefaults,
}

/// What was built, and how far it is.
#[derive(Clone, Copy)]
pub struct Current<'a> {
    pub cluster: &'a ValidCluster,
    pub built: &'a Built,
    pub progress: &'a Progress,
    pub fleet: &'a Fleet,
    pub steering: &'a Steering,
}

/// The question that a condition answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionType {
    /// Does the cluster serve as its spec wants?
    Ready,
    /// Are as many gateways serving as shall be?
    GatewaysAvailable,
    /// Can the bus store and deliver?
    BusReady,
    /// Is there something between the spec and what runs?
    Reconciling,
    /// Does it need a person?
    Stalled,
    /// Are all kinds there that the spec asks for?
    ApisAvailable,
    /// Is the number of gateways kept because too little is known, or the bus is away?
    ScalingHeld,
    /// Shall a gateway carry more connections than it can have, or is one close to that?
    CapacityLimited,
    /// Were connections that do not spread given up?
    RebalanceStopped,
    /// Does this operator offer a newer gateway than the one that runs?
    UpgradeAvailable,
}

impl ConditionType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::GatewaysAvailable => "GatewaysAvailable",
            Self::BusReady => "BusReady",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::ApisAvailable => "ApisAvailable",
            Self::ScalingHeld => "ScalingHeld",
            Self::CapacityLimited => "CapacityLimited",
            Self::RebalanceStopped => "RebalanceStopped",
            Self::UpgradeAvailable => "UpgradeAvailable",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) type_: ConditionType,
    /// `None`: unknown.
    pub(super) status: Option<bool>,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Condition {
    fn new(
        type_: ConditionType,
        status: Option<bool>,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_,
            status,
            reason,
            message: message.into(),
        }
    }

    /// As Kubernetes writes it; the time stays while the status does.
    pub(super) fn since(
        self,
        old: &[meta::Condition],
        generation: Option<i64>,
        now: &Time,
    ) -> meta::Condition {
        let status = match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = old
            .iter()
            .find(|old| old.type_ == self.type_.name() && old.status == status);
        meta::Condition {
            type_: self.type_.name().to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| now.clone(), |old| old.last_transition_time.clone()),
        }
    }
}

/// All conditions, the summary first.
pub(super) fn of(cluster: &ChatCluster, outcome: &Outcome<'_>) -> Vec<Condition> {
    let gateways = gateways(outcome);
    let bus = bus::of(outcome);
    let stalled = stalled(outcome);
    let ready = ready(cluster, &gateways, &bus, &stalled);
    vec![
        ready,
        gateways,
        bus,
        reconciling(outcome),
        stalled,
        apis(outcome),
        scaling_held(outcome),
        load::capacity(cluster, outcome),
        load::rebalance(outcome),
        upgrade(cluster, outcome),
    ]
}

/// Of a cluster that is being deleted.
pub(super) fn deleting(reason: &'static str, message: &str) -> [Condition; 2] {
    [
        Condition::new(ConditionType::Ready, Some(false), "Deleting", message),
        Condition::new(ConditionType::Reconciling, Some(true), reason, message),
    ]
}

/// The first reason why not, or that all is well. A cluster becomes ready only when a gateway said that the bus is there;
/// one that is ready does not lose that for a while without answers.
fn ready(cluster: &ChatCluster, gateways: &Condition, bus: &Condition, stalled: &Condition) -> Condition {
    let bus_missing = match bus.status {
        Some(up) => !up,
        None => bus.reason == bus::NOT_ASKED && !was_ready(cluster),
    };
    let reasons = [
        (stalled.status == Some(true)).then_some(stalled),
        (gateways.status != Some(true)).then_some(gateways),
        bus_missing.then_some(bus),
    ];
    match reasons.into_iter().flatten().next() {
        Some(why) => Condition::new(ConditionType::Ready, Some(false), why.reason, why.message.clone()),
        None => Condition::new(
            ConditionType::Ready,
            Some(true),
            "AllReady",
            "gateways and bus are ready",
        ),
    }
}

fn was_ready(cluster: &ChatCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|old| old.type_ == ConditionType::Ready.name());
    ready.any(|old| old.status == "True")
}

/// Gateways of former revisions count: clients do not care which one serves them.
fn gateways(outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::GatewaysAvailable;
    let Some(Current { progress, .. }) = outcome.current else {
        return Condition::new(TYPE, None, "NotBuilt", "the spec could not be built");
    };
    let counted = format!("{} of {} gateways serve", progress.serving, progress.desired);
    if progress.serving >= progress.desired {
        return Condition::new(TYPE, Some(true), "EnoughGateways", counted);
    }
    let trouble = pods::trouble(&pods::of_component(&outcome.observed.pods, GATEWAY));
    match trouble.or_else(|| progress.refused.clone()) {
        Some(trouble) => Condition::new(
            TYPE,
            Some(false),
            trouble.reason,
            format!("{counted}; {}", trouble.message),
        ),
        None => Condition::new(TYPE, Some(false), "GatewaysStarting", counted),
    }
}

fn reconciling(outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::Reconciling;
    let Some(Current {
        built,
        progress,
        steering,
        fleet,
        ..
    }) = outcome.current
    else {
        return Condition::new(TYPE, Some(false), "NotBuilt", "the spec could not be built");
    };
    if let Some(error) = outcome.passing {
        return Condition::new(TYPE, Some(true), "Retrying", format!("tried again: {error}"));
    }
    let revision = &built.revision;
    if !steering.stage.is_done() {
        let (reason, message) = (steering.stage.reason(), stage_message(&steering.stage, progress));
        return Condition::new(TYPE, Some(true), reason, message);
    }
    if !progress.complete {
        let counted = format!(
            "{} of {} gateways of revision {revision} serve",
            progress.ready, progress.desired
        );
        let trouble = pods::trouble(&outcome.observed.gateways_of(revision));
        let message = match trouble.or_else(|| progress.refused.clone()) {
            Some(trouble) => format!("{counted}; {}", trouble.message),
            None => counted,
        };
        return Condition::new(TYPE, Some(true), "RollingOut", message);
    }
    if let Some(nats) = progress.nats.as_ref().filter(|nats| !nats.complete) {
        let message = format!(
            "{} of {} NATS servers are current and {} ready; one after another is restarted while all others are ready",
            nats.updated, nats.desired, nats.ready
        );
        return Condition::new(TYPE, Some(true), "RollingNats", message);
    }
    let config = ConfigView::of(fleet);
    if !config.is_complete() {
        let counted = format!(
            "{} of {} gateways have taken the configuration over",
            config.taken, config.answered
        );
        return Condition::new(TYPE, Some(true), "ConfigSpreading", counted);
    }
    Condition::new(
        TYPE,
        Some(false),
        "UpToDate",
        format!("every gateway runs revision {revision}"),
    )
}

fn stalled(outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::Stalled;
    if let Some(error) = outcome.errors.first() {
        return Condition::new(TYPE, Some(true), error.category().reason(), error.to_string());
    }
    let none = || Condition::new(TYPE, Some(false), "NoError", "nothing is in the way");
    let Some(current) = outcome.current else {
        return none();
    };
    let stage = &current.steering.stage;
    if let Stage::Stalled { .. } = stage {
        let message = stage_message(stage, current.progress);
        return Condition::new(TYPE, Some(true), stage.reason(), message);
    }
    match ConfigView::of(current.fleet).problem {
        Some((reason, message)) => Condition::new(TYPE, Some(true), reason, message),
        None => none(),
    }
}

/// With what keeps the pods of the current revision from being made, which the fleet does not know.
fn stage_message(stage: &Stage, progress: &Progress) -> String {
    match &progress.refused {
        Some(refused) => format!("{}; {}", stage.message(), refused.message),
        None => stage.message(),
    }
}

fn scaling_held(outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::ScalingHeld;
    let held = outcome
        .current
        .and_then(|current| current.steering.sizing.held.as_ref());
    match held {
        Some(held) => Condition::new(
            TYPE,
            Some(true),
            held.reason,
            format!("the number of gateways stays: {}", held.message),
        ),
        None => Condition::new(
            TYPE,
            Some(false),
            "NotHeld",
            "the number of gateways is decided on",
        ),
    }
}

fn apis(outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::ApisAvailable;
    if outcome.missing.is_empty() {
        return Condition::new(
            TYPE,
            Some(true),
            "AllFound",
            "every API that the spec asks for is there",
        );
    }
    let names: Vec<_> = outcome
        .missing
        .iter()
        .map(|kind| {
            let resource = kind.api_resource();
            format!("{} ({})", resource.kind, resource.api_version)
        })
        .collect();
    let message = format!(
        "Kubernetes does not have {}; the rest is made without",
        names.join(", ")
    );
    Condition::new(TYPE, Some(false), "ApiMissing", message)
}

fn upgrade(cluster: &ChatCluster, outcome: &Outcome<'_>) -> Condition {
    const TYPE: ConditionType = ConditionType::UpgradeAvailable;
    let offered = &outcome.defaults.gateway_image;
    let pinned = cluster.spec.image.is_none() && cluster.spec.image_policy == ImagePolicy::Pinned;
    match outcome.current {
        Some(Current { cluster: valid, .. }) if pinned && valid.image != *offered => Condition::new(
            TYPE,
            Some(true),
            "NewerImage",
            format!(
                "this operator comes with {offered}; set spec.image to it, or spec.imagePolicy: FollowOperator"
            ),
        ),
        _ => Condition::new(
            TYPE,
            Some(false),
            "NothingNewer",
            "the gateways run what they should",
        ),
    }
}
