//! What the pods of both components share: the restricted Pod Security Standard, spreading, probes, the user's overlay.

use k8s_openapi::{
    DeepMerge,
    api::core::v1::{
        Capabilities, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector,
        PodSecurityContext, PodTemplateSpec, Probe, SeccompProfile, SecretKeySelector, SecurityContext,
        TopologySpreadConstraint,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::labels::Labels;
use crate::{api::ImagePullPolicy, validate::ValidCluster};

/// User and group of every container: nobody that the host knows.
const USER: i64 = 65532;

/// What a container said last before it failed stands in the status of its pod, from where a condition takes it.
pub(super) const LAST_LINES: &str = "FallbackToLogsOnError";

/// Of a pod under the restricted standard; volumes belong to the group.
pub(super) fn security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// Of a container under the restricted standard.
pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

/// Pods on nodes and zones of their own while there are enough; a pod that finds none still starts.
pub(super) fn spread(pods: &Labels) -> Vec<TopologySpreadConstraint> {
    ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(select(pods)),
            ..TopologySpreadConstraint::default()
        })
        .into()
}

pub(super) fn select(labels: &Labels) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels.clone()),
        match_expressions: None,
    }
}

pub(super) fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// A probe by HTTP; `failures` in a row count, `period` seconds apart.
pub(super) fn probe(port: &str, path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

pub(super) fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// A variable with a field of the pod.
pub(super) fn env_of_pod(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// A variable with a key of a Secret, which must be there.
pub(super) fn env_of_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: Some(false),
            }),
            ..EnvVarSource::default()
        }),
    }
}

pub(super) fn pull_policy(cluster: &ValidCluster) -> String {
    match cluster.spec.image_pull_policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    }
    .to_owned()
}

/// Lays the user's part over ours; lists are joined by the names of their entries. A selector is not joined: it would select what
/// both do, which is mostly nothing.
pub(super) fn overlay(template: &mut PodTemplateSpec, overlay: Option<&PodTemplateSpec>) {
    let Some(overlay) = overlay else { return };
    template.merge_from(overlay.clone());
    let spread = |template: &PodTemplateSpec| {
        let spec = template.spec.as_ref();
        spec.and_then(|spec| spec.topology_spread_constraints.clone())
            .unwrap_or_default()
    };
    let written = spread(overlay);
    let constraints = template
        .spec
        .iter_mut()
        .flat_map(|spec| spec.topology_spread_constraints.iter_mut().flatten());
    for constraint in constraints {
        let same = |other: &&TopologySpreadConstraint| {
            other.topology_key == constraint.topology_key
                && other.when_unsatisfiable == constraint.when_unsatisfiable
        };
        if let Some(selector) = written
            .iter()
            .find(same)
            .and_then(|written| written.label_selector.clone())
        {
            constraint.label_selector = Some(selector);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_of_the_user_takes_the_place_of_ours() {
        let labels = |name: &str| Labels::from([("app".to_owned(), name.to_owned())]);
        let mut template: PodTemplateSpec =
            serde_json::from_value(json!({"spec": {"containers": []}})).unwrap();
        template.spec.get_or_insert_default().topology_spread_constraints = Some(spread(&labels("natter")));
        let written = json!({"spec": {"containers": [], "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"team": "chat"}}},
            {"maxSkew": 3, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"},
        ]}});
        overlay(&mut template, Some(&serde_json::from_value(written).unwrap()));
        let spread = template
            .spec
            .and_then(|spec| spec.topology_spread_constraints)
            .unwrap();
        let found: Vec<_> = spread
            .iter()
            .map(|one| {
                (
                    one.topology_key.as_str(),
                    one.max_skew,
                    serde_json::to_value(&one.label_selector).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (
                    "kubernetes.io/hostname",
                    2,
                    json!({"matchLabels": {"team": "chat"}})
                ),
                (
                    "topology.kubernetes.io/zone",
                    1,
                    json!({"matchLabels": {"app": "natter"}})
                ),
                ("rack", 3, json!(null)),
            ]
        );
    }
}
