//! How many gateways, how large, and their settings.

use std::borrow::Cow;

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{config::GatewayConfig, reference::SecretKey};

/// The gateways of a cluster.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Gateways {
    /// Gateways to run. `kubectl scale` and a `HorizontalPodAutoscaler` write here. Means nothing while `scaling` is set.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// CPU and memory of a gateway.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// Any text, such as the time: another one replaces every gateway by a roll, with all that it keeps to. For what a gateway reads only
    /// when it starts, such as changed credentials. `kubectl rollout restart` is undone: the operator decides when a gateway goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub restarted_at: Option<String>,
    /// Laid over the pods that the operator builds, list entries by their name: labels, annotations, scheduling, sidecars,
    /// environment. The gateway's container is named `gateway`. What the operator decides is refused:
    /// `terminationGracePeriodSeconds`, `serviceAccountName`, and labels and annotations of `natter.dev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// TLS on the port for clients. Left out: it ends in front of the gateways, at an Ingress or load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
    /// The gateway's own settings.
    pub config: GatewayConfig,
}

/// The certificate of the gateways. It is read again when it changes, without a restart.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayTls {
    /// Secret of type `kubernetes.io/tls`, with `tls.crt` and `tls.key`, as cert-manager writes it.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Secret with the certificates, in PEM, of the authorities that must have signed the certificate of every client. Left out:
    /// clients need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authority: Option<SecretKey>,
}

fn default_replicas() -> i32 {
    2
}

fn default_resources() -> ResourceRequirements {
    let requests = [("cpu", "100m"), ("memory", "128Mi")]
        .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())));
    ResourceRequirements {
        requests: Some(requests.into()),
        ..ResourceRequirements::default()
    }
}

/// A part of a pod template. Its schema would make the custom resource too large for `kubectl apply`; the operator checks it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(transparent)]
pub struct PodTemplate(pub Value);

impl JsonSchema for PodTemplate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
    }
}
