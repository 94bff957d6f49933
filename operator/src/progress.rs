//! How far gateways and NATS are, from the status of their Deployments and `StatefulSet`.

use kube::{ResourceExt, api::DynamicObject};

use crate::{
    build::{Built, GATEWAY, REVISION, is_part},
    dereference::Observed,
    kinds::Kind,
    pods::Trouble,
    validate::ValidCluster,
};

/// How far a cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Gateways that shall be, of the current revision.
    pub desired: i32,
    /// Gateways of the current revision that serve.
    pub ready: i32,
    /// Gateways of all revisions that serve.
    pub serving: i32,
    /// Gateways of all revisions, whatever they do.
    pub replicas: i32,
    /// Former revisions that still have gateways.
    pub former: Vec<String>,
    /// Why Kubernetes refuses to make the pods of the current revision: a quota, a webhook, the pod security of the namespace. No pod
    /// is there that could say it.
    pub refused: Option<Trouble>,
    /// Every gateway of the current revision serves.
    pub complete: bool,
    /// A managed NATS.
    pub nats: Option<NatsProgress>,
}

/// How far a managed NATS is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsProgress {
    pub desired: i32,
    pub ready: i32,
    /// Servers that run the current configuration and image.
    pub updated: i32,
    /// All servers run the current configuration and image.
    pub complete: bool,
}

/// Reads the progress off the objects; there shall be `desired` gateways.
pub fn progress(cluster: &ValidCluster, built: &Built, observed: &Observed, desired: usize) -> Progress {
    let mut progress = Progress {
        desired: i32::try_from(desired).unwrap_or(i32::MAX),
        nats: cluster
            .nats
            .as_ref()
            .map(|nats| nats_progress(nats.spec.replicas, built, observed)),
        ..Progress::default()
    };
    for deployment in observed
        .of(Kind::Deployment)
        .filter(|object| is_part(*object, GATEWAY))
    {
        let serving = count(deployment, "availableReplicas");
        progress.serving += serving;
        progress.replicas += count(deployment, "replicas");
        match deployment.labels().get(REVISION) {
            Some(revision) if *revision == built.revision => {
                progress.ready = serving;
                progress.refused = refused(deployment);
                progress.complete = is_observed(deployment)
                    && serving >= progress.desired
                    && count(deployment, "updatedReplicas") >= progress.desired;
            }
            Some(revision) => progress.former.push(revision.clone()),
            None => {}
        }
    }
    progress.former.sort();
    progress
}

fn nats_progress(desired: i32, built: &Built, observed: &Observed) -> NatsProgress {
    let Some(set) = observed.find(Kind::StatefulSet, &built.names.nats()) else {
        return NatsProgress {
            desired,
            ..NatsProgress::default()
        };
    };
    let (ready, updated) = (count(set, "readyReplicas"), count(set, "updatedReplicas"));
    NatsProgress {
        desired,
        ready,
        updated,
        complete: is_observed(set) && ready >= desired && updated >= desired,
    }
}

fn refused(deployment: &DynamicObject) -> Option<Trouble> {
    let conditions = deployment.data["status"]["conditions"].as_array()?;
    let failure = conditions
        .iter()
        .find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True")?;
    let message = failure["message"].as_str().unwrap_or_default();
    Some(Trouble {
        reason: "PodsRefused",
        message: format!("Deployment {}: {message}", deployment.name_any()),
    })
}

/// Whether the status is about the spec as it is now.
pub(crate) fn is_observed(object: &DynamicObject) -> bool {
    object.data["status"]["observedGeneration"].as_i64() >= object.metadata.generation
}

/// A number of the status; 0 when it is not there.
pub(crate) fn count(object: &DynamicObject, field: &str) -> i32 {
    let number = object.data["status"][field].as_i64().unwrap_or_default();
    i32::try_from(number).unwrap_or(i32::MAX)
}
