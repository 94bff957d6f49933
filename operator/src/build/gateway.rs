//! The gateways: one Deployment, one configuration and one budget for each revision.
//!
//! A budget of all gateways together would count those of a new revision that do not start, and a roll that stalls on
//! Friday would keep every node from being drained until Monday. Of each revision one gateway may leave its node at a time; a
//! former one that is being drained is that one, as two at a time would exceed the budget of reconnects.
//!
//! The revision is a hash of the pods, their replicas aside, and of that part of the configuration which only a restart
//! changes. So a change that the gateways can take while they run writes the `ConfigMap` of their revision, and any other
//! change makes a new Deployment beside the old one, which the operator removes when it is time.

mod api_keys;
mod collector;
mod nats_access;
mod proxy_headers;
mod public_tls;
mod secret_files;
mod template;
mod token_keys;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
    core::v1::{ConfigMap, PodTemplateSpec, ServiceAccount},
    policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
};
use k8s_openapi::apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString};
use serde_json::Value;

pub use self::template::TOKEN_FILE;
pub(super) use self::{
    api_keys::{API_KEY_VOLUME, refer as refer_api_keys},
    collector::{COLLECTOR_VOLUME, settings as tracing_settings},
    nats_access::{NATS_SERVERS, settings as nats_settings},
    proxy_headers::refer as refer_proxies,
    public_tls::{TLS_VOLUME, settings as tls_settings},
    template::{API_KEYS, CONTROL_VOLUME, config_path, grace_seconds, token_path},
    token_keys::refer as refer_tokens,
};

use super::{
    BuildError, Names, Object, config,
    labels::{self, GATEWAY, Labels, REVISION},
    object::metadata,
    pod, short_hash,
};
use crate::{kinds::Kind, validate::ValidCluster};

/// Key of the file in the `ConfigMap`.
const FILE: &str = "gateway.yaml";

pub(super) struct Gateways {
    pub(super) revision: String,
    /// The configuration file.
    pub(super) file: String,
    pub(super) objects: Vec<Object>,
}

/// What a gateway consists of, whoever runs its pod.
pub(super) struct Parts {
    pub(super) revision: String,
    /// The configuration file.
    pub(super) file: String,
    pub(super) template: PodTemplateSpec,
    pub(super) service_account: Object,
    pub(super) config_map: Object,
}

pub(super) fn parts(cluster: &ValidCluster, names: &Names) -> Result<Parts, BuildError> {
    let file = config::file(cluster, names)?;
    let mut template = template::build(cluster, names);
    let bind = |template: &mut PodTemplateSpec, name: &str, revision: &str| {
        let shared = labels::selector(cluster, GATEWAY);
        template::bind(template, name, &shared, &labels_of(cluster, revision));
    };
    // Whole as it will be, but for the revision itself: what is not in it would change the pods of a revision, which
    // Kubernetes then rolls by itself, unpaced.
    let mut unnamed = template.clone();
    bind(&mut unnamed, "", "");
    let revision = revision(&unnamed, &file)?;
    let file = text(&file)?;
    let name = names.gateway_revision(&revision);
    bind(&mut template, &name, &revision);
    Ok(Parts {
        template,
        service_account: Object::of(Kind::ServiceAccount, &service_account(cluster, names))?,
        config_map: Object::of(Kind::ConfigMap, &config_map(cluster, &name, &revision, &file))?,
        revision,
        file,
    })
}

pub(super) fn build(cluster: &ValidCluster, names: &Names) -> Result<Gateways, BuildError> {
    let Parts {
        revision,
        file,
        template,
        service_account,
        config_map,
    } = parts(cluster, names)?;
    let name = names.gateway_revision(&revision);
    let mut objects = vec![
        service_account,
        config_map,
        Object::of(Kind::Deployment, &deployment(cluster, &name, &revision, template))?,
    ];
    if cluster.course.size.most() > 1 {
        let mut budget = budget(cluster, GATEWAY, &name, &labels_of(cluster, &revision));
        label(&mut budget.metadata, &revision);
        objects.push(Object::of(Kind::PodDisruptionBudget, &budget)?);
    }
    Ok(Gateways {
        revision,
        file,
        objects,
    })
}

fn revision(template: &PodTemplateSpec, file: &Value) -> Result<String, BuildError> {
    let parts = serde_json::to_string(&(template, config::restart_part(file)));
    parts.map(|text| short_hash(&text)).map_err(|source| BuildError {
        what: "the revision",
        source,
    })
}

/// What a Deployment selects its pods by.
fn labels_of(cluster: &ValidCluster, revision: &str) -> Labels {
    let mut labels = labels::selector(cluster, GATEWAY);
    labels.insert(REVISION.to_owned(), revision.to_owned());
    labels
}

/// Says to which revision an object belongs.
fn label(metadata: &mut ObjectMeta, revision: &str) {
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(REVISION.to_owned(), revision.to_owned());
}

/// Without any right: gateways never talk to Kubernetes.
fn service_account(cluster: &ValidCluster, names: &Names) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(cluster, GATEWAY, names.gateways()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn text(file: &Value) -> Result<String, BuildError> {
    let text = serde_json::to_string_pretty(file);
    text.map(|text| text + "\n").map_err(|source| BuildError {
        what: "the gateways' configuration",
        source,
    })
}

fn config_map(cluster: &ValidCluster, name: &str, revision: &str, text: &str) -> ConfigMap {
    let mut metadata = metadata(cluster, GATEWAY, name);
    label(&mut metadata, revision);
    ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(FILE.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    }
}

/// Its own roll never happens: the pods of a revision do not change. A pod that an eviction took is replaced at once.
fn deployment(cluster: &ValidCluster, name: &str, revision: &str, template: PodTemplateSpec) -> Deployment {
    let mut metadata = metadata(cluster, GATEWAY, name);
    label(&mut metadata, revision);
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(cluster.spec.gateways.replicas),
            selector: pod::select(&labels_of(cluster, revision)),
            revision_history_limit: Some(1),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// One pod at a time leaves a node; one that is broken anyway never holds a node back.
pub(super) fn budget(
    cluster: &ValidCluster,
    component: &str,
    name: &str,
    selector: &Labels,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(cluster, component, name),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(pod::select(selector)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::{OperatorDefaults, validate};

    /// Whatever an operator of another release builds otherwise is another revision then, never an edit of pods that run.
    #[test]
    fn a_revision_names_all_of_its_pods() {
        let cluster = json!({
            "apiVersion": "natter.dev/v1alpha1", "kind": "ChatCluster",
            "metadata": {"name": "chat", "namespace": "default", "uid": "1"},
            "spec": {"gateways": {"config": {"client": {"anonymous": "allow"}}}},
        });
        let defaults = OperatorDefaults {
            gateway_image: "gateway:1".to_owned(),
        };
        let cluster = validate(&serde_json::from_value(cluster).unwrap(), &defaults).unwrap();
        let names = Names::new("default", "chat");
        let built = parts(&cluster, &names).unwrap();
        let unnamed = serde_json::to_string(&built.template)
            .unwrap()
            .replace(&names.gateway_revision(&built.revision), "")
            .replace(&built.revision, "");
        let unnamed: PodTemplateSpec = serde_json::from_str(&unnamed).unwrap();
        let file = serde_json::from_str(&built.file).unwrap();
        assert_eq!(revision(&unnamed, &file).unwrap(), built.revision);
    }
}
