//! Names of objects. Long names of clusters are cut and told apart by a hash, so that all names fit where Kubernetes puts them.

use super::short_hash;

/// Names of Services and values of labels.
const LABEL: usize = 63;
/// Pods of a Deployment get up to 17 characters more, those of a `StatefulSet` a label with 11 more.
const WORKLOAD: usize = 46;
/// The gateway's limit of `bus.prefix`.
const PREFIX: usize = 64;

/// The names of one cluster's objects.
#[derive(Clone, Debug)]
pub struct Names {
    namespace: String,
    cluster: String,
}

impl Names {
    pub fn new(namespace: &str, cluster: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            cluster: cluster.to_owned(),
        }
    }

    /// The Service for clients, the Ingress, the `HTTPRoute`: the cluster's own name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What all revisions of gateways share.
    pub fn gateways(&self) -> String {
        child(&self.cluster, "gateway", LABEL)
    }

    /// The Secret with the tokens of control calls.
    pub fn control(&self) -> String {
        child(&self.cluster, "gateway-control", LABEL)
    }

    /// The `ConfigMap` with dashboards.
    pub fn dashboards(&self) -> String {
        child(&self.cluster, "dashboards", LABEL)
    }

    /// Deployment and `ConfigMap` of a revision.
    pub fn gateway_revision(&self, revision: &str) -> String {
        child(&self.cluster, &format!("gateway-{revision}"), WORKLOAD)
    }

    /// The `StatefulSet` of a managed NATS, its Service for gateways and its configuration.
    pub fn nats(&self) -> String {
        child(&self.cluster, "nats", WORKLOAD)
    }

    /// The Secret with the passwords of a managed NATS.
    pub fn nats_users(&self) -> String {
        child(&self.cluster, "nats-users", LABEL)
    }

    /// The headless Service that names each NATS server.
    pub fn nats_headless(&self) -> String {
        child(&self.cluster, "nats-headless", LABEL)
    }

    /// Volume claims of a managed NATS, as its `StatefulSet` names them.
    pub fn nats_claims(&self, replicas: i32) -> Vec<String> {
        (0..replicas)
            .map(|number| format!("data-{}-{number}", self.nats()))
            .collect()
    }

    /// The Job that deletes the streams of a cluster on an external NATS, as a revision of the gateways would reach it.
    pub fn stream_deletion(&self, revision: &str) -> String {
        child(&self.cluster, &format!("delete-streams-{revision}"), WORKLOAD)
    }

    /// A pattern of the names of the cluster's streams, which no other cluster's match.
    pub fn streams(&self) -> String {
        format!("{}_*", self.bus_prefix().replace('_', "="))
    }

    /// The DNS name of a Service of the namespace.
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.svc", self.namespace)
    }

    /// First token of the cluster's subjects. Neither part holds `_`, so no two clusters share one, which `-` between them
    /// would allow (`a-b` and `c`, `a` and `b-c`).
    pub fn bus_prefix(&self) -> String {
        let prefix = format!("{}_{}", self.namespace, self.cluster);
        if prefix.len() <= PREFIX {
            return prefix;
        }
        let hash = short_hash(&prefix);
        format!("{}_{hash}", &prefix[..PREFIX - 1 - hash.len()])
    }
}

fn child(cluster: &str, suffix: &str, limit: usize) -> String {
    let name = format!("{cluster}-{suffix}");
    if name.len() <= limit {
        return name;
    }
    let hash = short_hash(cluster);
    let room = limit.saturating_sub(hash.len() + suffix.len() + 2);
    let start = cluster.get(..room).unwrap_or(cluster).trim_end_matches('-');
    format!("{start}-{hash}-{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_fit_and_stay_apart() {
        let names = |last: char| Names::new(&"n".repeat(63), &format!("{}{last}", "c".repeat(62)));
        let (a, b) = (names('a'), names('b'));
        assert!(a.gateways().len() <= LABEL && a.nats_headless().len() <= LABEL);
        assert!(a.nats().len() <= WORKLOAD && a.gateway_revision("0123456789").len() <= WORKLOAD);
        assert!(a.stream_deletion("0123456789").len() <= WORKLOAD);
        assert_eq!(a.bus_prefix().len(), PREFIX);
        assert_ne!(a.nats(), b.nats());
        assert_ne!(a.bus_prefix(), b.bus_prefix());
    }

    #[test]
    fn clusters_whose_names_run_together_have_prefixes_of_their_own() {
        assert_ne!(
            Names::new("a-b", "c").bus_prefix(),
            Names::new("a", "b-c").bus_prefix()
        );
    }
}
