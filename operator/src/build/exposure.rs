//! Ingress and `HTTPRoute` to the clients' Service. Neither changes while gateways come and go: some controllers cut every
//! connection when one of their objects changes.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use serde_json::json;

use super::{BuildError, Names, Object, labels::GATEWAY, object::metadata, service::clients_port};
use crate::{
    api::exposure::{HttpRouteExposure, IngressExposure},
    kinds::Kind,
    validate::ValidCluster,
};

pub(super) fn build(cluster: &ValidCluster, names: &Names) -> Result<Vec<Object>, BuildError> {
    let exposure = &cluster.spec.exposure;
    let mut objects = Vec::new();
    if let Some(ingress) = &exposure.ingress {
        objects.push(Object::of(
            Kind::Ingress,
            &self::ingress(cluster, names, ingress),
        )?);
    }
    if let Some(route) = &exposure.http_route {
        objects.push(http_route(cluster, names, route));
    }
    Ok(objects)
}

fn ingress(cluster: &ValidCluster, names: &Names, exposure: &IngressExposure) -> Ingress {
    let path = HTTPIngressPath {
        path: Some("/".to_owned()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: names.cluster().to_owned(),
                port: Some(ServiceBackendPort {
                    name: Some(clients_port(cluster).0.to_owned()),
                    number: None,
                }),
            }),
            resource: None,
        },
    };
    let rule = |host: &String| IngressRule {
        host: Some(host.clone()),
        http: Some(HTTPIngressRuleValue {
            paths: vec![path.clone()],
        }),
    };
    let mut metadata = metadata(cluster, GATEWAY, names.cluster());
    metadata.annotations = Some(exposure.annotations.clone()).filter(|annotations| !annotations.is_empty());
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: exposure.class_name.clone(),
            rules: Some(exposure.hosts.iter().map(rule).collect()),
            tls: exposure.tls_secret_name.clone().map(|secret| {
                vec![IngressTLS {
                    hosts: Some(exposure.hosts.clone()),
                    secret_name: Some(secret),
                }]
            }),
            default_backend: None,
        }),
        status: None,
    }
}

/// Without `timeouts`: not every implementation takes them, and none is the longest.
fn http_route(cluster: &ValidCluster, names: &Names, exposure: &HttpRouteExposure) -> Object {
    let mut metadata = metadata(cluster, GATEWAY, names.cluster());
    metadata.annotations = Some(exposure.annotations.clone()).filter(|annotations| !annotations.is_empty());
    let mut spec = json!({
        "parentRefs": exposure.parent_refs,
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{"name": names.cluster(), "port": clients_port(cluster).1}],
        }],
    });
    if !exposure.hostnames.is_empty() {
        spec["hostnames"] = json!(exposure.hostnames);
    }
    Object::from_json(Kind::HttpRoute, metadata, json!({"spec": spec}))
}
