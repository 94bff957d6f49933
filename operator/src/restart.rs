//! Restarts the servers of a managed NATS whose image or configuration is not the current one: one at a time, and only while
//! every other server is ready. A server of the new revision that does not become ready therefore stops the rest, and the
//! majority that stores messages stays.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams, Preconditions},
};

use crate::{
    build::{Built, NATS, is_part},
    controller::Context,
    dereference::Observed,
    error::Error,
    kinds::Kind,
    pods,
    progress::{count, is_observed},
};

/// Label by which Kubernetes tells the revisions of a `StatefulSet` apart.
const POD_REVISION: &str = "controller-revision-hash";

/// The server that may be restarted now. Pure, so that it can be tested without Kubernetes.
pub fn next<'a>(observed: &'a Observed, built: &Built) -> Option<&'a Pod> {
    let set = observed.find(Kind::StatefulSet, &built.names.nats())?;
    let current = set.data["status"]["updateRevision"].as_str()?;
    let desired = usize::try_from(set.data["spec"]["replicas"].as_i64()?).ok()?;
    let servers: Vec<&Pod> = observed
        .pods
        .iter()
        .map(AsRef::as_ref)
        .filter(|pod| is_part(*pod, NATS))
        .collect();
    let whole = servers.len() == desired
        && servers
            .iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_none());
    if !is_observed(set) || !whole {
        return None;
    }
    let outdated = |pod: &&&Pod| {
        pod.labels()
            .get(POD_REVISION)
            .is_none_or(|revision| revision != current)
    };
    let mut sick = servers.iter().filter(|pod| !is_ready(pod));
    match (sick.next(), sick.next()) {
        // Its restart can only help.
        (Some(one), None) => Some(one).filter(outdated).copied(),
        (Some(_), Some(_)) => None,
        (None, _) if count(set, "availableReplicas") < count(set, "replicas") => None,
        (None, _) => servers
            .iter()
            .filter(outdated)
            .max_by_key(|pod| pod.name_any())
            .copied(),
    }
}

/// Restarts a server; its lame-duck mode first sends its clients to the others.
pub async fn restart(context: &Context, pod: &Pod) -> Result<(), Error> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    // Only the server that was looked at, not the one that came after it.
    let parameters = EvictParams {
        delete_options: Some(DeleteParams {
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        }),
        ..EvictParams::default()
    };
    match api.evict(&name, &parameters).await {
        Ok(_) => {
            tracing::info!(pod = name, "NATS server is restarted");
            context.metrics.restarted();
            Ok(())
        }
        // The budget or somebody else was faster; what happens then is seen and brings the next reconcile.
        Err(kube::Error::Api(status)) if [404, 409, 429].contains(&status.code) => Ok(()),
        Err(source) => Err(Error::Restart { name, source }),
    }
}

fn is_ready(pod: &Pod) -> bool {
    pods::readiness(pod).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests;
