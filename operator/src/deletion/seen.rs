//! What is there of a cluster that is being deleted, as far as it matters for its streams.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, Pod},
    jiff::Timestamp,
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use crate::{
    build::{GATEWAY, STREAM_DELETION, is_part},
    dereference::Observed,
    kinds::Kind,
    pods,
};

/// Set by a deletion in the foreground; taken off when all that the cluster owned is gone.
const FOREGROUND: &str = "foregroundDeletion";

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Kubernetes is deleting all that the cluster owns.
    pub collected: bool,
    /// Deployments of gateways.
    pub deployments: usize,
    /// Those among them that are not deleted yet.
    pub untold: usize,
    /// Gateways that have not ended.
    pub gateways: usize,
    pub job: Job,
    /// When the step that is under way should have been over, or was begun: gateways told to end, by the time that they may
    /// take; or the Job.
    pub begun: Option<Timestamp>,
    /// Why no Job can be made.
    pub obstacle: Option<String>,
}

/// The Job that deletes the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// None of the current spec.
    None,
    /// And why it does not get on.
    Running(Option<String>),
    Succeeded,
    Failed(String),
}

impl Seen {
    pub fn gateways_are_there(&self) -> bool {
        self.deployments + self.gateways > 0
    }
}

/// What the spec asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of the Job.
    pub job: &'a str,
    /// Time that gateways may take to end.
    pub leave: Duration,
}

/// Looks at a cluster with these finalizers; an error says why its spec asks for nothing that can be made.
pub fn see(finalizers: &[String], observed: &Observed, wanted: Result<Wanted<'_>, String>) -> Seen {
    let gateways = observed.pods.iter().filter(|pod| is_part(pod.as_ref(), GATEWAY));
    Seen {
        collected: finalizers.iter().any(|finalizer| finalizer == FOREGROUND),
        deployments: gateway_deployments(observed).count(),
        untold: gateway_deployments(observed)
            .filter(|deployment| deployment.metadata.deletion_timestamp.is_none())
            .count(),
        gateways: gateways.filter(|pod| !has_ended(pod)).count(),
        job: look_at_job(observed, wanted.as_ref().ok()),
        begun: wanted.as_ref().ok().and_then(|wanted| begun(observed, wanted)),
        obstacle: wanted.err(),
    }
}

/// Deployments of gateways, also those that are going.
pub(crate) fn gateway_deployments(observed: &Observed) -> impl Iterator<Item = &DynamicObject> {
    observed
        .of(Kind::Deployment)
        .filter(|object| is_part(*object, GATEWAY))
}

fn begun(observed: &Observed, wanted: &Wanted<'_>) -> Option<Timestamp> {
    let told = gateway_deployments(observed)
        .filter_map(|deployment| deployment.metadata.deletion_timestamp.as_ref())
        .filter_map(|told| told.0.checked_add(wanted.leave).ok());
    let job = observed
        .find(Kind::Job, wanted.job)
        .and_then(ResourceExt::creation_timestamp);
    told.chain(job.map(|made| made.0)).max()
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Any Job that succeeded will do: the names of streams do not depend on the spec.
fn look_at_job(observed: &Observed, wanted: Option<&Wanted<'_>>) -> Job {
    if observed
        .of(Kind::Job)
        .any(|job| condition(job, "Complete").is_some())
    {
        return Job::Succeeded;
    }
    let Some(job) = wanted.and_then(|wanted| observed.find(Kind::Job, wanted.job)) else {
        return Job::None;
    };
    let said = said(observed);
    match condition(job, "Failed") {
        Some(condition) => {
            let message = condition["message"].as_str().unwrap_or_default();
            Job::Failed(said.unwrap_or_else(|| message.to_owned()))
        }
        None => Job::Running(said),
    }
}

fn condition<'a>(job: &'a DynamicObject, type_: &str) -> Option<&'a Value> {
    let conditions = job.data["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == type_ && condition["status"] == "True")
}

/// What keeps the Job's pods from running, or what the last one that failed wrote.
fn said(observed: &Observed) -> Option<String> {
    let of_job = observed
        .pods
        .iter()
        .filter(|pod| is_part(pod.as_ref(), STREAM_DELETION));
    let pods: Vec<_> = of_job.cloned().collect();
    if let Some(trouble) = pods::trouble(&pods) {
        return Some(trouble.message);
    }
    let failures = pods.iter().filter_map(|pod| failure(pod));
    let last = failures.max_by_key(|failure| failure.finished_at.as_ref().map(|time| time.0))?;
    let message = last.message.as_deref().unwrap_or_default();
    let line = message.lines().rev().find(|line| !line.trim().is_empty());
    Some(line.map_or_else(|| format!("exit code {}", last.exit_code), str::to_owned))
}

fn failure(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended = containers
        .iter()
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref());
    ended.into_iter().find(|ended| ended.exit_code != 0)
}
