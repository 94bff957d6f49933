//! The bus between the gateways.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{gateways::PodTemplate, reference::SecretKey};

/// A NATS that the operator runs, or one that is there already.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.managed) != has(self.external)")
        .message("choose one of bus.managed and bus.external")
)]
#[x_kube(
    validation = Rule::new("has(self.managed) == has(oldSelf.managed)")
        .message("a cluster cannot move between a managed and an external NATS: stored messages would stay behind")
)]
pub struct Bus {
    /// A NATS with `JetStream` that the operator runs beside the gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedNats>,
    /// A NATS that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalNats>,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            managed: Some(ManagedNats::default()),
            external: None,
        }
    }
}

/// A NATS cluster with `JetStream`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedNats {
    /// Servers: 1 for trying out, 3 to outlive the loss of one, 5 of two.
    #[serde(default = "default_replicas")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]").message("replicas must be 1, 3 or 5"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf || (oldSelf > 1 && self > oldSelf)")
            .message("a NATS of 3 can grow to 5; a single server cannot become a cluster, and no cluster can shrink, without losing messages")
    )]
    pub replicas: i32,
    /// Image of the servers.
    #[serde(default = "default_image")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Volume of each server.
    #[serde(default)]
    pub storage: NatsStorage,
    /// CPU and memory of a server.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// Laid over the pods that the operator builds, as `gateways.podTemplate`. The server's container is named `nats`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

impl Default for ManagedNats {
    fn default() -> Self {
        Self {
            replicas: default_replicas(),
            image: default_image(),
            storage: NatsStorage::default(),
            resources: default_resources(),
            pod_template: None,
        }
    }
}

fn default_replicas() -> i32 {
    3
}

fn default_image() -> String {
    "docker.io/library/nats:2.15.1-alpine".to_owned()
}

fn default_resources() -> ResourceRequirements {
    let requests = [("cpu", "100m"), ("memory", "256Mi")]
        .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())));
    ResourceRequirements {
        requests: Some(requests.into()),
        ..ResourceRequirements::default()
    }
}

/// The volume of a NATS server; it cannot change once it is made.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("bus.managed.storage cannot change: Kubernetes fixes the volumes of a StatefulSet when it is made")
)]
pub struct NatsStorage {
    /// Size of the volume. Streams may fill 90 % of it.
    #[serde(default = "default_size")]
    #[x_kube(
        validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('64Mi')) >= 0")
            .message("bus.managed.storage.size must be at least 64Mi")
    )]
    pub size: Quantity,
    /// Storage class of the volume. Left out: the default class of the Kubernetes cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

impl Default for NatsStorage {
    fn default() -> Self {
        Self {
            size: default_size(),
            class_name: None,
        }
    }
}

fn default_size() -> Quantity {
    Quantity("10Gi".to_owned())
}

/// A NATS that somebody else runs.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.tls) || self.servers.all(url, url.startsWith('tls://'))")
        .message("bus.external.tls needs servers of tls://")
)]
#[x_kube(
    validation = Rule::new("!(has(self.credentials) && has(self.credentialsFile))")
        .message("choose one of bus.external.credentials and bus.external.credentialsFile")
)]
pub struct ExternalNats {
    /// Servers to connect to, `nats://host:4222` or `tls://host:4222`, without credentials.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(max = 255), regex(pattern = "^(nats|tls)://[^@/,$]+$"))
    )]
    pub servers: Vec<String>,
    /// Secret with the user and password for NATS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<NatsCredentials>,
    /// Secret with a `.creds` file (JWT and seed) or the seed of a user's `NKey`. Gateways use what is new in it from their
    /// next connection to NATS on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<SecretKey>,
    /// TLS beyond what the servers' `tls://` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<NatsTls>,
}

/// User and password for NATS. They become part of an address: all but letters, digits, `-`, `.`, `_` and `~` must be
/// percent-encoded in the Secret.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NatsCredentials {
    /// Name of the Secret, in the cluster's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Key of the user's name.
    #[serde(default = "default_user_key")]
    #[schemars(length(min = 1, max = 253))]
    pub username_key: String,
    /// Key of the password.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: String,
}

fn default_user_key() -> String {
    "username".to_owned()
}

fn default_password_key() -> String {
    "password".to_owned()
}

/// How gateways know the NATS servers.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NatsTls {
    /// Secret with the certificates, in PEM, of the authorities that gateways trust.
    pub authority: SecretKey,
    /// Certificate that gateways show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
}

/// A certificate and its key.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// Name of the Secret, of type `kubernetes.io/tls`, in the cluster's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}
