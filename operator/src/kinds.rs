//! The kinds of objects that the operator owns, in the order in which they are applied: what a pod needs comes before it.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of object that the operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    ServiceAccount,
    ConfigMap,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    StatefulSet,
    Deployment,
    Job,
    Ingress,
    HttpRoute,
    PodMonitor,
    PrometheusRule,
}

impl Kind {
    /// All, in the order in which they are applied.
    pub const ALL: [Self; 12] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::StatefulSet,
        Self::Deployment,
        Self::Job,
        Self::Ingress,
        Self::HttpRoute,
        Self::PodMonitor,
        Self::PrometheusRule,
    ];

    /// Whether a Kubernetes cluster can be without this kind: it comes with a custom resource definition of others.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::HttpRoute | Self::PodMonitor | Self::PrometheusRule)
    }

    /// The name of the kind, also the label of metrics.
    pub fn name(self) -> &'static str {
        self.identity().2
    }

    /// What the API server calls it.
    pub fn api_resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.identity();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Its position in [`Kind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    fn identity(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::PodMonitor => ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
            Self::PrometheusRule => ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_enum() {
        assert!(
            Kind::ALL
                .iter()
                .enumerate()
                .all(|(index, kind)| kind.index() == index)
        );
    }
}
