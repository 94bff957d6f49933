//! The pods of gateways.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EnvVar, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec,
    SecretVolumeSource, SleepAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{api_keys, collector, nats_access, proxy_headers, public_tls, token_keys};
use crate::{
    build::{
        Names,
        config::{self, HTTP_PORT, OPS_PORT},
        labels::{self, ACCEPTING, GATEWAY, Labels},
        nats, pod,
    },
    validate::ValidCluster,
};

/// Seconds in which a pod that shall go still serves as if nothing were: the time in which nodes and load balancers learn
/// of it. Only then the gateway gets SIGTERM.
const PRE_STOP_SECONDS: u32 = 5;
/// Annotation with what `gateways.restartedAt` says.
const RESTARTED_AT: &str = "natter.dev/restarted-at";
const CONFIG_VOLUME: &str = "config";
const CONFIG_DIRECTORY: &str = "/etc/natter";
pub(in crate::build) const CONTROL_VOLUME: &str = "control";
const CONTROL_DIRECTORY: &str = "/etc/natter-control";
/// Key of the Secret with the tokens of control calls, and the file's name.
pub const TOKEN_FILE: &str = "tokens";
/// The variable with the keys of the server API.
pub(in crate::build) const API_KEYS: &str = "NATTER_API_KEYS";

/// The pods, still without what depends on their revision.
pub(super) fn build(cluster: &ValidCluster, names: &Names) -> PodTemplateSpec {
    let mut volumes = vec![
        Volume {
            name: CONFIG_VOLUME.to_owned(),
            config_map: Some(ConfigMapVolumeSource::default()),
            ..Volume::default()
        },
        Volume {
            name: CONTROL_VOLUME.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(names.control()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    let external = cluster.spec.bus.external.as_ref();
    volumes.extend(external.and_then(nats_access::volume));
    volumes.extend(proxy_headers::volume(&cluster.spec.gateways.config));
    volumes.extend(token_keys::volume(&cluster.spec.gateways.config));
    volumes.extend(api_keys::volume(&cluster.spec.gateways.config));
    volumes.extend(cluster.spec.gateways.tls.as_ref().map(public_tls::volume));
    volumes.extend(cluster.spec.tracing.as_ref().and_then(collector::volume));
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: restarted_at(cluster),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container(cluster, names)],
            volumes: Some(volumes),
            service_account_name: Some(names.gateways()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: Some(cluster.spec.image_pull_secrets.clone())
                .filter(|secrets| !secrets.is_empty()),
            security_context: Some(pod::security()),
            topology_spread_constraints: Some(pod::spread(&labels::selector(cluster, GATEWAY))),
            termination_grace_period_seconds: i64::try_from(grace_seconds(cluster)).ok(),
            ..PodSpec::default()
        }),
    };
    pod::overlay(&mut template, cluster.gateway_overlay.as_ref());
    template
}

/// Part of the revision, so that another text is a roll.
fn restarted_at(cluster: &ValidCluster) -> Option<BTreeMap<String, String>> {
    let text = cluster.spec.gateways.restarted_at.clone()?;
    Some(BTreeMap::from([(RESTARTED_AT.to_owned(), text)]))
}

/// Seconds from the deletion of a gateway's pod until it is killed.
pub(in crate::build) fn grace_seconds(cluster: &ValidCluster) -> u64 {
    u64::from(PRE_STOP_SECONDS) + config::leave_seconds(cluster)
}

/// Where a gateway finds the tokens of control calls.
pub(in crate::build) fn token_path() -> String {
    format!("{CONTROL_DIRECTORY}/{TOKEN_FILE}")
}

/// Where a gateway finds its configuration.
pub(in crate::build) fn config_path() -> String {
    format!("{CONFIG_DIRECTORY}/{}", super::FILE)
}

/// Gives the pods of a revision its labels and its configuration. `shared`: what the gateways of all revisions are selected by.
pub(super) fn bind(template: &mut PodTemplateSpec, config_map: &str, shared: &Labels, pods: &Labels) {
    let labels = template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    labels.extend(pods.clone());
    labels.insert(labels::MANAGED_BY.to_owned(), labels::OPERATOR.to_owned());
    labels.insert(ACCEPTING.to_owned(), "true".to_owned());
    let Some(spec) = &mut template.spec else {
        return;
    };
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        // Each revision is spread by itself: the old one must not push the new one together. A user's own selector says what it says.
        if let Some(selector) = &mut constraint.label_selector
            && *selector == pod::select(shared)
        {
            *selector = pod::select(pods);
        }
    }
    let volumes = spec.volumes.iter_mut().flatten();
    for volume in volumes.filter(|volume| volume.name == CONFIG_VOLUME) {
        config_map.clone_into(&mut volume.config_map.get_or_insert_default().name);
    }
}

fn container(cluster: &ValidCluster, names: &Names) -> Container {
    // Directories, not files in them: only a directory follows changes of the `ConfigMap` or Secret.
    let mut mounts = vec![
        mount(CONFIG_VOLUME, CONFIG_DIRECTORY),
        mount(CONTROL_VOLUME, CONTROL_DIRECTORY),
    ];
    let external = cluster.spec.bus.external.as_ref();
    if external.and_then(nats_access::volume).is_some() {
        mounts.push(nats_access::volume_mount());
    }
    if proxy_headers::volume(&cluster.spec.gateways.config).is_some() {
        mounts.push(proxy_headers::volume_mount());
    }
    if token_keys::volume(&cluster.spec.gateways.config).is_some() {
        mounts.push(token_keys::volume_mount());
    }
    if api_keys::volume(&cluster.spec.gateways.config).is_some() {
        mounts.push(api_keys::volume_mount());
    }
    if cluster.spec.gateways.tls.is_some() {
        mounts.push(public_tls::volume_mount());
    }
    if cluster
        .spec
        .tracing
        .as_ref()
        .and_then(collector::volume)
        .is_some()
    {
        mounts.push(collector::volume_mount());
    }
    Container {
        name: GATEWAY.to_owned(),
        image: Some(cluster.image.clone()),
        image_pull_policy: Some(pod::pull_policy(cluster)),
        args: Some(vec!["--config".to_owned(), config_path()]),
        env: Some(environment(cluster, names)),
        ports: Some(vec![pod::port("http", HTTP_PORT), pod::port("ops", OPS_PORT)]),
        resources: Some(cluster.spec.gateways.resources.clone()),
        liveness_probe: Some(pod::probe("ops", "/livez", 10, 3)),
        readiness_probe: Some(pod::probe("ops", "/readyz", 2, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: i64::from(PRE_STOP_SECONDS),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        termination_message_policy: Some(pod::LAST_LINES.to_owned()),
        security_context: Some(pod::container_security()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// Secrets reach a gateway by reference only; the operator does not read them.
fn environment(cluster: &ValidCluster, names: &Names) -> Vec<EnvVar> {
    let mut environment = vec![
        pod::env_of_pod("NATTER_NODE_NAME", "metadata.name"),
        pod::env_of_pod("POD_NAMESPACE", "metadata.namespace"),
    ];
    if cluster.spec.tracing.is_some() {
        let attributes = format!(
            "k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(NATTER_NODE_NAME),natter.cluster={}",
            cluster.name
        );
        environment.push(pod::env("OTEL_RESOURCE_ATTRIBUTES", attributes));
    }
    if let Some(keys) = cluster
        .spec
        .gateways
        .config
        .api
        .as_ref()
        .and_then(|api| api.keys.as_ref())
    {
        environment.push(pod::env_of_secret(API_KEYS, &keys.name, &keys.key));
    }
    match &cluster.spec.bus.external {
        Some(nats) => environment.extend(nats_access::environment(nats)),
        None => environment.extend(nats::gateway_environment(names)),
    }
    environment
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
