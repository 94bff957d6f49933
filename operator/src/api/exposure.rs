//! How clients reach the gateways, and who else may.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How clients reach the gateways.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// The Service of the gateways that accept new clients, named as the cluster.
    #[serde(default)]
    pub service: ServiceExposure,
    /// An Ingress to the Service. A WebSocket lives as long as the Ingress controller lets it: choose a class whose
    /// reloads do not cut connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,
    /// An `HTTPRoute` of the Gateway API to the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRouteExposure>,
    /// `NetworkPolicies` of the gateways and of a managed NATS.
    #[serde(default)]
    pub network_policy: NetworkPolicyExposure,
}

/// The Service of the gateways.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'")
        .message("exposure.service.loadBalancerClass needs type: LoadBalancer")
)]
#[x_kube(
    validation = Rule::new(
        "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || \
         (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && \
         (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))"
    )
    .message("exposure.service.loadBalancerClass cannot change while the type is LoadBalancer: Kubernetes fixes it")
)]
pub struct ServiceExposure {
    /// Type of the Service.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// Annotations of the Service, for a cloud's load balancer for example.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Class of the load balancer. Only with the type `LoadBalancer`, and fixed as long as the type is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
}

/// Type of a Service.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    NodePort,
    LoadBalancer,
}

/// An Ingress to the gateways.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IngressExposure {
    /// Class of the Ingress. Left out: the default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Host names.
    #[schemars(
        length(min = 1, max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hosts: Vec<String>,
    /// Secret with the certificate of the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
    /// Annotations, for the Ingress controller's timeouts for example.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An `HTTPRoute` to the gateways.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteExposure {
    /// Gateways of the Gateway API that take the route.
    #[schemars(length(min = 1, max = 16))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names. Left out: all hosts of the listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hostnames: Vec<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway of the Gateway API.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway. Left out: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Listener of the Gateway. Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// Who may reach the pods. Clients may always reach the gateways' port for them.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.opsFrom) || self.opsFrom.all(peer, has(peer.ipBlock) != (has(peer.podSelector) || has(peer.namespaceSelector)))"
    )
    .message("each peer of exposure.networkPolicy.opsFrom needs an ipBlock, or a podSelector or namespaceSelector")
)]
pub struct NetworkPolicyExposure {
    /// Whether `NetworkPolicies` are made.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Who may reach the ops port of gateways, left out: every pod of the Kubernetes cluster; and the monitoring port of a managed
    /// NATS, which shows names of rooms, left out: nobody. The operator and Prometheus must be among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ops_from: Vec<NetworkPolicyPeer>,
}

impl Default for NetworkPolicyExposure {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            ops_from: Vec::new(),
        }
    }
}

fn enabled() -> bool {
    true
}
