//! Who may reach which port. Everybody reaches the clients' port. A managed NATS is for the gateways of this cluster alone: others
//! have no password for it (`nats/users.rs`), but only the policy keeps them from the ports that ask for none, between the
//! servers and for monitoring. The latter shows names of rooms, so only who is listed reaches it. Nothing of Natter's asks there
//! but the kubelet's probes, which no policy stops.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString};

use super::{
    BuildError, Names, Object,
    config::{HTTP_PORT, OPS_PORT},
    labels::{self, GATEWAY, NATS},
    nats::{CLIENT_PORT, MONITOR_PORT, ROUTE_PORT},
    object::metadata,
    pod,
};
use crate::{kinds::Kind, validate::ValidCluster};

pub(super) fn build(cluster: &ValidCluster, names: &Names) -> Result<Vec<Object>, BuildError> {
    let exposure = &cluster.spec.exposure.network_policy;
    if !exposure.enabled {
        return Ok(Vec::new());
    }
    let listed = Some(exposure.ops_from.clone()).filter(|peers| !peers.is_empty());
    let ops = listed.clone().unwrap_or_else(|| vec![every_pod()]);
    let gateways = vec![rule(&[HTTP_PORT], None), rule(&[OPS_PORT], Some(ops))];
    let mut objects = vec![policy(cluster, GATEWAY, &names.gateways(), gateways)?];
    if cluster.nats.is_some() {
        let mut servers = vec![
            rule(&[CLIENT_PORT], Some(vec![pods(cluster, GATEWAY)])),
            rule(&[ROUTE_PORT], Some(vec![pods(cluster, NATS)])),
        ];
        servers.extend(listed.map(|peers| rule(&[MONITOR_PORT], Some(peers))));
        objects.push(policy(cluster, NATS, &names.nats(), servers)?);
    }
    Ok(objects)
}

fn policy(
    cluster: &ValidCluster,
    component: &str,
    name: &str,
    ingress: Vec<NetworkPolicyIngressRule>,
) -> Result<Object, BuildError> {
    let policy = NetworkPolicy {
        metadata: metadata(cluster, component, name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod::select(&labels::selector(cluster, component))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress),
            egress: None,
        }),
    };
    Object::of(Kind::NetworkPolicy, &policy)
}

/// `None`: from everywhere.
fn rule(ports: &[i32], from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    let port = |number: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*number)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    NetworkPolicyIngressRule {
        from,
        ports: Some(ports.iter().map(port).collect()),
    }
}

fn pods(cluster: &ValidCluster, component: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(pod::select(&labels::selector(cluster, component))),
        ..NetworkPolicyPeer::default()
    }
}

fn every_pod() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}
