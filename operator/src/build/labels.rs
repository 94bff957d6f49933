//! Labels: who made an object, what it is part of, and which pods Services select.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::validate::ValidCluster;

/// Who made an object; every watch of the operator selects it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const OPERATOR: &str = "natter-operator";
/// Which cluster an object is of.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Which part of a cluster a pod is.
pub const COMPONENT: &str = "app.kubernetes.io/component";
pub const GATEWAY: &str = "gateway";
pub const NATS: &str = "nats";
/// The Job that deletes streams.
pub const STREAM_DELETION: &str = "stream-deletion";
/// Revision of a gateway.
pub const REVISION: &str = "natter.dev/revision";
/// `true` on gateways that may get new clients. The client Service selects it, and neither Deployment nor budget does: so a
/// gateway can be closed to newcomers without being replaced.
pub const ACCEPTING: &str = "natter.dev/accepting";

/// Whether an object belongs to a component.
pub fn is_part(object: &impl ResourceExt, component: &str) -> bool {
    object.labels().get(COMPONENT).is_some_and(|its| its == component)
}

pub(super) type Labels = BTreeMap<String, String>;

/// What Deployments, Services and policies select the pods of a component by; it can never change.
pub(super) fn selector(cluster: &ValidCluster, component: &str) -> Labels {
    [
        ("app.kubernetes.io/name", "natter"),
        (INSTANCE, &cluster.name),
        (COMPONENT, component),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Labels of an object.
pub(super) fn of(cluster: &ValidCluster, component: &str) -> Labels {
    let mut labels = selector(cluster, component);
    labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    labels
}

/// A selector as text.
pub(super) fn as_text(labels: &Labels) -> String {
    labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}
