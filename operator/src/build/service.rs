//! Services of the gateways: one for clients, one that names every gateway.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    BuildError, Names, Object,
    config::{HTTP_PORT, OPS_PORT},
    labels::{self, ACCEPTING, GATEWAY},
    object::metadata,
};
use crate::{api::exposure::ServiceType, kinds::Kind, validate::ValidCluster};

pub(super) fn build(cluster: &ValidCluster, names: &Names) -> Result<Vec<Object>, BuildError> {
    Ok(vec![
        Object::of(Kind::Service, &clients(cluster, names))?,
        Object::of(Kind::Service, &every_gateway(cluster, names))?,
    ])
}

/// Only gateways that may get new clients.
fn clients(cluster: &ValidCluster, names: &Names) -> Service {
    let exposure = &cluster.spec.exposure.service;
    let mut selector = labels::selector(cluster, GATEWAY);
    selector.insert(ACCEPTING.to_owned(), "true".to_owned());
    let (name, number) = clients_port(cluster);
    let mut metadata = metadata(cluster, GATEWAY, names.cluster());
    metadata.annotations = Some(exposure.annotations.clone()).filter(|annotations| !annotations.is_empty());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(
                match exposure.type_ {
                    ServiceType::ClusterIp => "ClusterIP",
                    ServiceType::NodePort => "NodePort",
                    ServiceType::LoadBalancer => "LoadBalancer",
                }
                .to_owned(),
            ),
            load_balancer_class: exposure.load_balancer_class.clone(),
            selector: Some(selector),
            ports: Some(vec![ServicePort {
                app_protocol: cluster.spec.gateways.tls.is_some().then(|| name.to_owned()),
                ..port(name, number, HTTP_PORT)
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Name and number of the port for clients.
pub(super) fn clients_port(cluster: &ValidCluster) -> (&'static str, i32) {
    match cluster.spec.gateways.tls {
        None => ("http", 80),
        Some(_) => ("https", 443),
    }
}

/// All gateways, ready or not, each by its address.
fn every_gateway(cluster: &ValidCluster, names: &Names) -> Service {
    let ports = [("http", HTTP_PORT), ("ops", OPS_PORT)].map(|(name, number)| port(name, number, number));
    headless(cluster, GATEWAY, &names.gateways(), ports.into())
}

/// A Service without an address of its own that names all pods of a component.
pub(super) fn headless(
    cluster: &ValidCluster,
    component: &str,
    name: &str,
    ports: Vec<ServicePort>,
) -> Service {
    Service {
        metadata: metadata(cluster, component, name),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::selector(cluster, component)),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

pub(super) fn port(name: &str, number: i32, target: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::Int(target)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
