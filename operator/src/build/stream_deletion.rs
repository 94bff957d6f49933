//! The Job that deletes the streams of a cluster on an external NATS: the gateways' image, configuration and Secrets, so that
//! it reaches NATS where they did. Made only while the cluster is being deleted.
//!
//! Nothing selects its pod as a gateway: it has another component, no revision, and no ports. What the user laid over the
//! gateways' pods holds for it too, but for containers beside the gateway's, which would keep the Job from ending.

use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::{Container, PodTemplateSpec},
};

use super::{
    BuildError, Names, Object,
    gateway::{self, API_KEY_VOLUME, API_KEYS, COLLECTOR_VOLUME, CONTROL_VOLUME, TLS_VOLUME, config_path},
    labels::{self, ACCEPTING, GATEWAY, REVISION, STREAM_DELETION},
    object::metadata,
};
use crate::{deletion, kinds::Kind, validate::ValidCluster};

/// What one pod may take: longer than a NATS server that is restarted.
const TIME_LIMIT: &str = "60s";
/// Pods after the first; Kubernetes waits longer before each, from 10 s on.
const RETRIES: i32 = 6;
/// A Job that is done is removed after this time, should the cluster still be there.
const KEPT_SECONDS: i32 = 600;
/// Volumes that only a server needs, and whose Secrets may be gone already.
const SERVED_WITH: [&str; 4] = [CONTROL_VOLUME, API_KEY_VOLUME, TLS_VOLUME, COLLECTOR_VOLUME];

/// The Job and what its pod needs, in the order in which they are applied.
#[derive(Clone, Debug)]
pub struct StreamDeletion {
    pub job: String,
    pub objects: Vec<Object>,
}

/// Builds the Job.
pub fn build(cluster: &ValidCluster) -> Result<StreamDeletion, BuildError> {
    let names = Names::new(&cluster.namespace, &cluster.name);
    let parts = gateway::parts(cluster, &names)?;
    let name = names.stream_deletion(&parts.revision);
    let job = Job {
        metadata: metadata(cluster, STREAM_DELETION, &name),
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: i64::try_from(deletion::LIMIT.as_secs()).ok(),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: template(cluster, parts.template),
            ..JobSpec::default()
        }),
        status: None,
    };
    Ok(StreamDeletion {
        objects: vec![
            parts.service_account,
            parts.config_map,
            Object::of(Kind::Job, &job)?,
        ],
        job: name,
    })
}

fn template(cluster: &ValidCluster, mut template: PodTemplateSpec) -> PodTemplateSpec {
    let labels = template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    labels.remove(REVISION);
    labels.remove(ACCEPTING);
    labels.extend(labels::selector(cluster, STREAM_DELETION));
    if let Some(spec) = &mut template.spec {
        let gateway = spec.containers.iter().find(|container| container.name == GATEWAY);
        spec.containers = gateway.map(container).into_iter().collect();
        spec.volumes
            .get_or_insert_default()
            .retain(|volume| !SERVED_WITH.contains(&volume.name.as_str()));
        // A gateway's time is that of its drain.
        spec.termination_grace_period_seconds = None;
        spec.topology_spread_constraints = None;
        spec.readiness_gates = None;
        spec.restart_policy = Some("Never".to_owned());
    }
    template
}

/// The gateway's container with another command line, and without what only a server needs.
fn container(gateway: &Container) -> Container {
    let mut container = gateway.clone();
    STREAM_DELETION.clone_into(&mut container.name);
    let args = [
        "delete-streams",
        "--config",
        &config_path(),
        "--time-limit",
        TIME_LIMIT,
    ];
    container.args = Some(args.map(str::to_owned).into());
    container.ports = None;
    container.lifecycle = None;
    (
        container.liveness_probe,
        container.readiness_probe,
        container.startup_probe,
    ) = (None, None, None);
    // The Secret may be gone already, and nobody calls the server API here.
    container
        .env
        .get_or_insert_default()
        .retain(|variable| variable.name != API_KEYS);
    container
        .volume_mounts
        .get_or_insert_default()
        .retain(|mount| !SERVED_WITH.contains(&mount.name.as_str()));
    container
}
