//! The `StatefulSet` of a managed NATS.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{
        StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
        StatefulSetUpdateStrategy,
    },
    core::v1::{
        ConfigMapVolumeSource, Container, EmptyDirVolumeSource, ExecAction, Lifecycle, LifecycleHandler,
        PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Volume, VolumeMount,
        VolumeResourceRequirements,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    CLIENT_PORT, LAME_DUCK_DURATION_SECONDS, LAME_DUCK_GRACE_SECONDS, MONITOR_PORT, ROUTE_PORT, users,
};
use crate::{
    api::DeletionPolicy,
    build::{
        Names,
        labels::{self, NATS},
        object::metadata,
        pod,
    },
    validate::{ValidCluster, ValidNats},
};

/// Seconds that a server gets beyond its lame-duck mode to close its streams.
const SLACK_SECONDS: i64 = 20;
/// Seconds that a server must be ready before it counts as available, and the next one may go.
const MIN_READY_SECONDS: i32 = 10;

pub(super) fn build(cluster: &ValidCluster, nats: &ValidNats, names: &Names, config: &str) -> StatefulSet {
    let deleted = match cluster.spec.deletion_policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    StatefulSet {
        metadata: metadata(cluster, NATS, names.nats()),
        spec: Some(StatefulSetSpec {
            replicas: Some(nats.spec.replicas),
            service_name: Some(names.nats_headless()),
            selector: pod::select(&labels::selector(cluster, NATS)),
            // All at once at the start, as a majority must meet. Restarts are the operator's: Kubernetes would take a server
            // while another one is down.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(deleted.to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            template: template(cluster, nats, names, config),
            volume_claim_templates: Some(vec![claim(nats)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn template(cluster: &ValidCluster, nats: &ValidNats, names: &Names, config: &str) -> PodTemplateSpec {
    let volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names.nats(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "run".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ];
    let mut template = PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            containers: vec![container(cluster, nats, names)],
            volumes: Some(volumes),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: Some(cluster.spec.image_pull_secrets.clone())
                .filter(|secrets| !secrets.is_empty()),
            security_context: Some(pod::security()),
            topology_spread_constraints: Some(pod::spread(&labels::selector(cluster, NATS))),
            termination_grace_period_seconds: Some(
                LAME_DUCK_GRACE_SECONDS + LAME_DUCK_DURATION_SECONDS + SLACK_SECONDS,
            ),
            ..PodSpec::default()
        }),
    };
    pod::overlay(&mut template, nats.overlay.as_ref());
    let metadata = template.metadata.get_or_insert_default();
    metadata
        .labels
        .get_or_insert_default()
        .extend(labels::of(cluster, NATS));
    // A server reads its configuration once.
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert("natter.dev/config".to_owned(), config.to_owned());
    template
}

fn container(cluster: &ValidCluster, nats: &ValidNats, names: &Names) -> Container {
    let mount = |volume: &str, path: &str, read_only: bool| VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let [gateway, admin] = users::passwords(names);
    let environment = [pod::env_of_pod("POD_NAME", "metadata.name"), gateway, admin];
    Container {
        name: NATS.to_owned(),
        image: Some(nats.spec.image.clone()),
        image_pull_policy: Some(pod::pull_policy(cluster)),
        command: Some(vec!["nats-server".to_owned()]),
        args: Some(vec!["--config".to_owned(), "/etc/nats/nats.conf".to_owned()]),
        env: Some(environment.into()),
        ports: Some(vec![
            pod::port("nats", CLIENT_PORT),
            pod::port("cluster", ROUTE_PORT),
            pod::port("monitor", MONITOR_PORT),
        ]),
        resources: Some(nats.spec.resources.clone()),
        // A server becomes ready when it has met a leader of JetStream and its streams have caught up. Fifteen minutes for it: as
        // long as it takes, but not for ever.
        startup_probe: Some(pod::probe("monitor", "/healthz", 5, 180)),
        // From then on readiness asks only whether it serves clients: if it asked for the leader, the loss of a majority would take the
        // last servers out of the Service, and rooms that need no JetStream with them. `BusReady` learns from the gateways whether
        // JetStream stores. A restart helps only a server whose own JetStream is off.
        liveness_probe: Some(pod::probe("monitor", "/healthz?js-enabled-only=true", 10, 3)),
        readiness_probe: Some(pod::probe("monitor", "/healthz?js-server-only=true", 5, 3)),
        lifecycle: Some(Lifecycle {
            // The server itself sends the signal: its image needs no shell.
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some(
                        ["nats-server", "--signal", "ldm=/run/nats/nats.pid"]
                            .map(str::to_owned)
                            .into(),
                    ),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        termination_message_policy: Some(pod::LAST_LINES.to_owned()),
        security_context: Some(pod::container_security()),
        volume_mounts: Some(vec![
            mount("config", "/etc/nats", true),
            mount("run", "/run/nats", false),
            mount("data", "/data", false),
        ]),
        ..Container::default()
    }
}

fn claim(nats: &ValidNats) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: nats.spec.storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    nats.spec.storage.size.clone(),
                )])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
